"""The language model of Shazeer et al. (2017): LSTM, mixture of experts, LSTM."""
