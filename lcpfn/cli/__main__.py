"""`python -m lcpfn.cli`, for `torchrun -m lcpfn.cli train`."""

from lcpfn.cli import main

if __name__ == "__main__":
    main()
