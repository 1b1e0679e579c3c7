"""The REST interface: the verbs of the command line under `/api/v1`, in the server that serves the pages."""
