"""What a replay with hooks shows: plain numbers that judge nothing."""
