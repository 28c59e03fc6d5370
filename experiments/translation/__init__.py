"""LSTM, sparsely gated mixture of experts, LSTM: English to French (Shazeer et al. 2017)."""
