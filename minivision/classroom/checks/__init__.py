"""What holds an exercise: a function check(student, rng) for each, in a file for each lesson; exercises/README.md says how."""
