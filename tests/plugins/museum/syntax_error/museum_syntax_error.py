"""Is no Python."""

def emp_job_types(:
