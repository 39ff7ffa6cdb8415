"""The command line: `ofa <verb>`, each verb a Hydra app."""
