"""Forgets @hookimpl."""


def emp_job_types():
    return []
