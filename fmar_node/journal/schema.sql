-- The journal's tables, format 4. Specification: docs/formats/journal.md; older formats: upgrade.py.
-- entry, node, checkpoint and handover never change; section and subject_key lose what is erased; the rest is current
-- state, derived from the entries in the same transaction and made again from them by state.py.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE entry (
    idx         INTEGER PRIMARY KEY,            -- place in the journal, from 0
    leaf_hash   BLOB    NOT NULL,               -- RFC 6962 leaf hash, 32 bytes
    kind        TEXT    NOT NULL,               -- plural, as in URLs
    record      TEXT    NOT NULL,               -- UUID
    version     INTEGER NOT NULL,               -- from 1, per record
    action      TEXT    NOT NULL,
    recorded_at TEXT    NOT NULL,               -- xsd:dateTime, UTC
    cause       INTEGER,                        -- the entry whose consequence this is
    UNIQUE (record, version)
) STRICT;

CREATE TABLE section (
    idx         INTEGER PRIMARY KEY REFERENCES entry,
    commitments BLOB NOT NULL,                  -- 7 x 32 bytes
    salts       BLOB NOT NULL,                  -- 7 x 16 bytes, zeros where erased, and where encrypted with the body
    envelope    BLOB, actor BLOB, open BLOB, operational BLOB, commercial BLOB,
    personal    BLOB, submission BLOB           -- encrypted under the record's key (cipher.py); NULL where erased
) STRICT;

CREATE TABLE subject_key (                      -- what a record's personal sections are encrypted with; never in a backup
    record        TEXT PRIMARY KEY,
    key           BLOB NOT NULL,                -- 32 bytes; erasure puts a new one in its place
    erased_before INTEGER NOT NULL              -- the personal sections of entries below this one are gone for good
) STRICT, WITHOUT ROWID;

CREATE TABLE node (                             -- perfect subtrees at levels 8, 16, 24; level 0 is entry.leaf_hash
    level INTEGER NOT NULL, idx INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (level, idx)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoint (size INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT;

CREATE TABLE handover (                         -- from one signing key to the next (handover.py), oldest first
    number INTEGER PRIMARY KEY, note TEXT NOT NULL
) STRICT;

CREATE TABLE record (                           -- the newest version of each record, and what lists select by
    kind TEXT NOT NULL, id TEXT NOT NULL, head INTEGER NOT NULL, state TEXT NOT NULL,
    manager TEXT, owner TEXT, area TEXT, is_live INTEGER NOT NULL, is_public INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX record_manager ON record (kind, manager, id) WHERE manager IS NOT NULL;
CREATE INDEX record_owner ON record (kind, owner, id) WHERE owner IS NOT NULL;
CREATE INDEX record_area ON record (kind, area, id) WHERE area IS NOT NULL;
CREATE INDEX record_public ON record (kind, id) WHERE is_public = 1;

CREATE TABLE tally (                            -- how many records of a kind are in a state
    kind TEXT NOT NULL, state TEXT NOT NULL, records INTEGER NOT NULL, PRIMARY KEY (kind, state)
) STRICT, WITHOUT ROWID;

CREATE TABLE claim (                            -- what only one live record may have; values only as keyed hashes
    digest BLOB PRIMARY KEY, record TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX claim_record ON claim (record);

CREATE TABLE handle (                           -- identifiers for lookup; values only as keyed hashes
    digest BLOB NOT NULL, record TEXT NOT NULL, PRIMARY KEY (digest, record)
) STRICT, WITHOUT ROWID;
CREATE INDEX handle_record ON handle (record);

CREATE TABLE former (                           -- who was a record's manager before, and is not now
    organisation TEXT NOT NULL, record TEXT NOT NULL,
    last INTEGER NOT NULL,                      -- the entry of the last version in its time: the one that it keeps
    PRIMARY KEY (organisation, record)
) STRICT, WITHOUT ROWID;
CREATE INDEX former_record ON former (record);

CREATE TABLE former_handle (                    -- the identifiers that the record had then; gone with an erasure after it
    digest BLOB NOT NULL, record TEXT NOT NULL, organisation TEXT NOT NULL, PRIMARY KEY (digest, record, organisation)
) STRICT, WITHOUT ROWID;
CREATE INDEX former_handle_record ON former_handle (record);

CREATE TABLE application_key (
    client_id TEXT NOT NULL, key_id TEXT NOT NULL, organisation TEXT NOT NULL, jwk TEXT NOT NULL,
    is_active INTEGER NOT NULL,
    entry INTEGER NOT NULL,                     -- the entry that the key came with: its place in the status list
    PRIMARY KEY (client_id, key_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE due (                              -- what happens to a record by the clock, if nothing else does before
    record TEXT PRIMARY KEY, kind TEXT NOT NULL,
    at     TEXT NOT NULL                        -- xsd:dateTime, UTC
) STRICT, WITHOUT ROWID;
CREATE INDEX due_at ON due (at);

CREATE TABLE idempotency (
    request BLOB PRIMARY KEY,                   -- keyed hash of organisation and Idempotency-Key
    digest  BLOB NOT NULL,                      -- keyed hash of the request's digest, under the key of the record
    idx     INTEGER NOT NULL                    -- the entry that the request became
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_idx ON idempotency (idx);
