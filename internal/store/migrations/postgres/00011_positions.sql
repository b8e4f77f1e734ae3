-- Events have a position of their own for each merchant: the order of commit, without holes. It is taken as the last
-- statement before the commit. New processes number their events themselves and say so in events.numbered; for those of
-- older ones that run beside them a trigger does it at the commit. Events that exist have positions set aside here;
-- 00016 gives them out.

-- +goose Up
-- Nobody writes events between the count and the trigger.
LOCK TABLE events IN SHARE ROW EXCLUSIVE MODE;
ALTER TABLE events ADD COLUMN numbered BOOLEAN;

CREATE TABLE event_log (
    merchant_id TEXT NOT NULL,
    pos         BIGINT NOT NULL CHECK (pos > 0),
    event_id    TEXT NOT NULL UNIQUE,
    PRIMARY KEY (merchant_id, pos)
);
-- One row a merchant, changed by every transaction that writes events of theirs, for as long as its commit takes.
CREATE TABLE event_heads (
    merchant_id TEXT PRIMARY KEY,
    last        BIGINT NOT NULL
) WITH (fillfactor = 40);
INSERT INTO event_heads (merchant_id, last) SELECT merchant_id, count(*) FROM events GROUP BY merchant_id;

-- Gives events positions, in the order of the array within each merchant. Heads are locked in the order of the merchant.
-- +goose StatementBegin
CREATE FUNCTION number_events(merchants TEXT[], ids TEXT[]) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    WITH e AS (
        SELECT u.merchant_id, u.event_id, u.n, row_number() OVER (PARTITION BY u.merchant_id ORDER BY u.n) AS place,
            count(*) OVER (PARTITION BY u.merchant_id) AS all_of_them
        FROM unnest(merchants, ids) WITH ORDINALITY AS u (merchant_id, event_id, n)
    ), h AS (
        INSERT INTO event_heads AS head (merchant_id, last)
            SELECT e.merchant_id, count(*) FROM e GROUP BY e.merchant_id ORDER BY e.merchant_id
        ON CONFLICT (merchant_id) DO UPDATE SET last = head.last + EXCLUDED.last
        RETURNING head.merchant_id, head.last
    )
    INSERT INTO event_log (merchant_id, pos, event_id)
        SELECT e.merchant_id, h.last - e.all_of_them + e.place, e.event_id FROM e JOIN h ON h.merchant_id = e.merchant_id;
END
$$;
-- +goose StatementEnd

-- Older processes: the ids of a transaction are noted as they are written, and numbered together before the commit.
-- A savepoint that is given up takes its notes along.
-- +goose StatementBegin
CREATE FUNCTION note_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('ctrip.unnumbered',
        concat_ws(' ', NULLIF(current_setting('ctrip.unnumbered', true), ''), NEW.merchant_id || '/' || NEW.id), true);
    RETURN NULL;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION number_noted_events() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    noted TEXT[] := string_to_array(NULLIF(current_setting('ctrip.unnumbered', true), ''), ' ');
BEGIN
    IF noted IS NOT NULL THEN
        PERFORM number_events(array_agg(split_part(pair, '/', 1) ORDER BY n), array_agg(split_part(pair, '/', 2) ORDER BY n))
            FROM unnest(noted) WITH ORDINALITY AS u (pair, n);
        PERFORM set_config('ctrip.unnumbered', '', true);
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER events_note AFTER INSERT ON events FOR EACH ROW
    WHEN (NEW.numbered IS NOT TRUE) EXECUTE FUNCTION note_event();
CREATE CONSTRAINT TRIGGER events_number AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.numbered IS NOT TRUE) EXECUTE FUNCTION number_noted_events();

-- An event that retention deletes gives its place up; the place stays empty.
-- +goose StatementBegin
CREATE FUNCTION forget_positions() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM event_log l USING gone WHERE l.event_id = gone.id;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER events_forget AFTER DELETE ON events REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION forget_positions();

-- Of a batch, the positions of its events, as its header tells them.
ALTER TABLE batches ADD COLUMN positions TEXT NOT NULL DEFAULT '';

-- Which database this is: a restored dump has another cluster, database or table, a promoted standby another timeline.
CREATE TABLE database_identity (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    cluster     TEXT NOT NULL,
    timeline    TEXT NOT NULL,
    place       TEXT NOT NULL, -- oids of the database and of account_keys
    adopted_at  TIMESTAMPTZ NOT NULL,
    changed_at  TIMESTAMPTZ,   -- when it was last found to be another one
    change      TEXT NOT NULL DEFAULT '',
    unfinished  BOOLEAN NOT NULL DEFAULT FALSE, -- restored, and not prepared yet
    prepared_at TIMESTAMPTZ
);
-- What a server does not tell is empty, and then never differs.
-- +goose StatementBegin
CREATE FUNCTION current_identity(OUT cluster TEXT, OUT timeline TEXT, OUT place TEXT) LANGUAGE plpgsql STABLE
    SET search_path FROM CURRENT AS $$
BEGIN
    place := (SELECT oid FROM pg_database WHERE datname = current_database()) || '/' || 'account_keys'::regclass::oid;
    BEGIN
        SELECT system_identifier INTO cluster FROM pg_control_system();
    EXCEPTION WHEN OTHERS THEN
        cluster := '';
    END;
    BEGIN
        timeline := left(pg_walfile_name(pg_current_wal_lsn()), 8);
    EXCEPTION WHEN OTHERS THEN
        timeline := '';
    END;
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION current_identity;
DROP TABLE database_identity;
ALTER TABLE batches DROP COLUMN positions;
DROP TRIGGER events_forget ON events;
DROP TRIGGER events_number ON events;
DROP TRIGGER events_note ON events;
DROP FUNCTION forget_positions, number_noted_events, note_event, number_events;
DROP TABLE event_heads, event_log;
ALTER TABLE events DROP COLUMN numbered;
