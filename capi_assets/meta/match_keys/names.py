"""`fn`, `ln`, `ge`: what a person is called.

Names: lower case, without punctuation, other scripts in UTF-8 (Customer information parameters);
spaces go too, as in Meta's own param builder. Gender: f or m, nothing else exists at Meta.
"""

from __future__ import annotations

from capi_assets.meta.match_keys.key_problems import Problem
from capi_assets.meta.match_keys.text import letters_and_digits

# The words Meta's param builder takes, and their like in the languages shops most often use.
_GENDERS = {
    "f": "f female woman w girl ms miss mrs she her mother"
    " frau weiblich femme féminin feminin madame mme mujer femenino femenina señora sra"
    " donna femmina femminile signora mulher feminino feminina senhora"
    " vrouw vrouwelijk kvinna kvinde kvinne nainen kobieta žena kadın женщина женский",
    "m": "m male man boy mr he him father"
    " mann herr männlich homme masculin monsieur hombre masculino señor sr"
    " uomo maschio maschile signore homem senhor"
    " mannelijk mand mies mężczyzna muž erkek мужчина мужской",
}
_GENDER_OF = {word: gender for gender, words in _GENDERS.items() for word in words.split()}


def name(text: str) -> str | Problem:
    """Letters and digits of the name in lower case, at least one of them a letter."""
    bare = letters_and_digits(text)
    if bare.isalpha() or any(map(str.isalpha, bare)):
        return bare
    return Problem.NO_LETTERS


def gender(text: str) -> str | Problem:
    """`f` or `m`, from the letter or a word for it."""
    return _GENDER_OF.get(letters_and_digits(text), Problem.UNKNOWN_GENDER)
