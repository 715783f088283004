"""`unseen app`: a web page on which a concept is erased and looked at, for people who never read the paper."""
