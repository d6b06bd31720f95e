"""Exercises that grade themselves: a function is cut out of the library, a student writes it again, a check holds it.

manifest   what exercises there are (exercises/*.toml)      cut, cut_c   the hole in the live source
worker     the process that runs a student's code           proxy, wire  calling it from here, safely
expect     what checks say (checks/*.py)                    check        one verdict on one file
workspace  a student's folder and progress

exercises/README.md says how to write one.
"""
