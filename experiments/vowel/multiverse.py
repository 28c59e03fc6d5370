"""placeholder"""
from experiments.vowel.settings import VowelConfig as MultiverseConfig, check
from experiments.vowel.study import run
