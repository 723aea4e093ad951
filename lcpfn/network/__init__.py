"""The network: from observations and questions, in its own units, to histograms."""
