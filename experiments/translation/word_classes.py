"""A plain word class for every English word: closed classes by list, open ones by ending.

No tagger is needed, so no model is downloaded; what the lists do not know is `other`.
"""

_CLOSED = {
    "determiner": "the a an this that these those every each all some any no both such another",
    "pronoun": "i you he she it we they me him her us them thou thee ye who whom which what my "
    "your his its our their mine yours hers ours theirs himself herself itself themselves myself "
    "yourself yourselves ourselves one thy thine whoever whose",
    "preposition": "of in to for with on at by from into upon out against among before after over "
    "under between through as about without toward towards within until down up off above like "
    "beside near across behind beyond except according because concerning throughout",
    "conjunction": "and or but nor for so yet if when while though although since than lest "
    "therefore because where",
    "auxiliary": "is was be are were been am being has have had having do does did shall will "
    "would should may might can could must let don't didn't won't can't isn't shan't doesn't",
    "negation": "not never neither none nothing nobody",
    "number word": "one two three four five six seven eight nine ten hundred thousand first second "
    "third fourth fifth sixth seventh tenth twelve twenty thirty forty fifty",
}
_BY_WORD = {word: name for name, words in _CLOSED.items() for word in words.split()}
_BY_ENDING = (("ing", "-ing"), ("ed", "-ed"), ("ly", "-ly"), ("s", "-s"))


def word_class(word: str, is_first: bool = False) -> str:
    """The class of an English word.

    Args:
        word: with its capitals, without spaces.
        is_first: of its sentence, where a capital says nothing.
    """
    plain = word.strip(".,;:!?\"'()“”‘’").lower()
    if not plain:
        return "punctuation"
    if plain[0].isdigit():
        return "number word"
    if plain in _BY_WORD:
        return _BY_WORD[plain]
    if word.lstrip("\"'(“‘")[:1].isupper() and not is_first:
        return "name"
    return next((name for end, name in _BY_ENDING if plain.endswith(end)), "other")
