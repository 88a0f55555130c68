"""Our callback on the models of forecasting libraries that somebody else wrote and tuned.

Each model is trained a few epochs on series that it can learn, made here, with the callback at its
defaults: it has to stay silent. Then it gets a second column that is zero throughout: that has to
be what is named first.

series.py              what is learned, and with which rows a model is judged
of_neuralforecast.py   its models, each trained once with our callback
of_darts.py            the same
of_pytorch_forecasting.py  the same
probe.py               judges the models of one library; runs in that library's environment
__main__.py            makes the environments, runs everything and writes the tables
"""
