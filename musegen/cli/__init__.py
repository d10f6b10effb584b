"""The command line: one file for each group of verbs; heavy imports happen inside the verbs."""
