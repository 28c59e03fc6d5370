"""The clusters study: Chen, Deng, Wu, Gu & Li (2022), synthetic data with a cluster structure."""
