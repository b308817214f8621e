"""The monitor on show: a populated EMP, and the pictures of its pages in docs/images (`make screenshots`)."""
