"""Proof of every operation: its cases, its mutants, and the checks that hold the one and reject the other."""
