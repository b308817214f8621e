"""Instructions per job, counted by valgrind's callgrind: a guard for speed that the machine's load does not touch."""
