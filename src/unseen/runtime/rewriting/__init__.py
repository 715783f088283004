"""What becomes of a prompt's words before it is encoded, by what the video model would show for them.

Read `matching`, words, and `spans`, their neighbors; `views`, what the video model shows for them, and `claims`, from
when on that means a concept; then what is built on these: `paraphrase` puts the concept's name in the place of other
words for it, `loop` takes away what would bring the concept back past the erasers, and `prepare` does one after the
other.
"""
