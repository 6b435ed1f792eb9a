"""Fill the marked tables of README and docs from records, and from nothing else.

A marked table stands between ``<!-- headlines EXPERIMENT MODEL ... -->`` or
``<!-- table EXPERIMENT MODEL TABLE COLUMN ... -->`` and ``<!-- end -->``; the text around it is written by
hand. ``headlines`` takes ``published`` for a column of published figures, and names of headlines to show
these alone; under the table stands what the committed audit found of the pairs behind those figures.
``table`` takes the columns, where ``a+ci`` prints the interval too, ``a=Heading`` renames, and ``a:value``
keeps the lines that have that value in column ``a``. Single numbers in the text that cite a record
(`pkv_interp.records.cited`) are filled as well.
"""
