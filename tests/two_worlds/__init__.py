"""Two registers that differ only in what a caller may not see answer that caller with the same bytes.

A *story* is what happens in a market, by a seed. The *plain* world lives it; a *fuller* world lives the same story at
the same times with the same identifiers, and more besides, of which some viewers may see nothing: further records
between the common ones, further versions of common records, hidden tiers of records that a viewer sees, organisations
that wait for approval, records in areas that are not the viewer's, records that have left its window, records that
have come and gone.

Compared are whole answers: of SPARQL (generated queries of every form, terms drawn from the vocabulary and from both
worlds) the media type and all bytes, or the refusal; over HTTP the status, the headers and the body of reads in every
format, versions, times, histories, proofs, lists walked to their end, lookups, exports, conditional requests, dry
runs and refusals of writes. A third opinion is the *reference window*: `reveal` over the journal's versions in a store
of its own, which has nothing else in it.

Excepted is what `interface.md` declares, and nothing more:

- sizes: the header `Fmar-Journal-Index`, the journal index in a history and in an envelope, and of a proof everything
  but the sections that it opens;
- times: the header `Date`;
- identifiers: the one that a dry run of a registration offers, the header `Fmar-Request-Id`;
- the one bit of an identifier conflict: a registration that claims what a hidden record has already is refused.

One bit more is left out, and is not declared: a DSO's proof opens the personal section of an asset unless that holds
the serial number of a device, which a DSO does not see; so it can tell that there is one. Addresses that are the
operator's business (`/metrics`, `/journal/...`) are not compared: what they tell is the register's size.

Rows without ORDER BY are compared in the order in which they come between two worlds. The reference window is another
store with other indexes; there they are compared as multisets.
"""
