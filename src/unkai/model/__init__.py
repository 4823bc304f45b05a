"""botocore's service models as frozen values. They are read from the installed package's data files; botocore is not imported."""
