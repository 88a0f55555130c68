"""The 52 fault operators published as DEForm, re-created on our encoder and on a small decoder.

Source: Jahan, Rajput, Sharma, Rahman 2026, "DEFault++: Automated Fault Detection, Categorization,
and Diagnosis for Transformer Architectures", arXiv 2604.28118. Identifiers, components, root causes
and doses are those of the catalogue in its repository; what each does to our models is our reading,
and none of its code is used.

catalogue.py  the operators: component, root cause, doses, and which of our findings say it
attention.py  attention written out, with a switch for each fault inside it
subjects.py   our encoder on windows of bars, a causal decoder on tokens, and their tasks
faults.py     what each operator does to a subject
trial.py      train a subject clean and faulty on the same seeds, ask for its diagnosis
scoring.py    detection, category, root cause, false alarms
__main__.py   runs everything and writes the tables
"""
