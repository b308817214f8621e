"""Run the `emp` command as `python -m emp_core.cli`: the same Python, whatever is on the PATH."""

from emp_core.cli import main

if __name__ == "__main__":
    main()
