"""The benchmark report: tables, plots and the README's section, all made from one results file."""
