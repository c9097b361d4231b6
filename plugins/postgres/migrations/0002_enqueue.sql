-- What enters in a transaction of somebody else's: by the function enqueue, or by a client on the caller's connection.
-- Such a transaction may stay open for long. So it takes no lock on what others need: not on keys that others may want
-- too, nor on the runs on which its own depend.

-- An edge is late when its parent was not locked as it was made: whether that has ended meanwhile is seen as it commits.
ALTER TABLE mainspring.edge ADD COLUMN is_late boolean NOT NULL DEFAULT false;

CREATE FUNCTION mainspring.settle_late_edge() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parent_state smallint;
    now double precision;
BEGIN
    -- Locked as by whoever ends it: either that sees the edge, or its end is seen here.
    SELECT state INTO parent_state FROM mainspring.run WHERE id = NEW.parent FOR NO KEY UPDATE;
    IF parent_state <= 5 THEN
        UPDATE mainspring.run SET has_children = true WHERE id = NEW.parent AND NOT has_children;
        RETURN NULL;
    END IF;
    now := mainspring.clock();
    UPDATE mainspring.edge SET is_open = false WHERE child = NEW.child AND parent = NEW.parent;
    IF parent_state > 6 AND NEW.on_failure = 'cancel' THEN
        UPDATE mainspring.run SET
            state = 8, finished = now,
            reason = 'depends on ' || NEW.parent || ', which '
                || CASE parent_state WHEN 8 THEN 'was cancelled' WHEN 9 THEN 'has expired' ELSE 'has failed' END
        WHERE id = NEW.child AND state + 0 = 3;
        IF FOUND THEN
            UPDATE mainspring.edge SET is_open = false WHERE child = NEW.child AND is_open;
            DELETE FROM mainspring.unique_period WHERE run = NEW.child;
        END IF;
    ELSE
        UPDATE mainspring.run SET state = CASE WHEN due <= now THEN 4 ELSE 1 END
        WHERE id = NEW.child AND state + 0 = 3
            AND NOT EXISTS (SELECT 1 FROM mainspring.edge WHERE edge.child = run.id AND edge.is_open);
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER edge_late AFTER INSERT ON mainspring.edge DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.is_late) EXECUTE FUNCTION mainspring.settle_late_edge();

CREATE INDEX announced_job ON mainspring.announced (job);

-- UUIDv7 (RFC 9562): milliseconds, then what is left of the microseconds, then chance.
CREATE FUNCTION mainspring.new_id() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT encode(
        substring(int8send(micros / 1000) FROM 3)
        || int2send((28672 + micros % 1000 * 4096 / 1000)::smallint)
        || set_byte(chance, 0, get_byte(chance, 0) & 63 | 128),
        'hex'
    )::uuid
    FROM (
        SELECT
            floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS micros,
            substring(uuid_send(gen_random_uuid()) FROM 9) AS chance
    ) AS drawn
$$;

-- A JSON value as the text of a key: exactly as kernels and clients write it, for theirs is the same key.
CREATE FUNCTION mainspring.key_json(value jsonb) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1
AS $$
DECLARE
    written text;
    digits text;
BEGIN
    CASE jsonb_typeof(value)
        WHEN 'object' THEN
            SELECT string_agg(
                mainspring.key_json(to_jsonb(item.key)) || ':' || mainspring.key_json(item.value), ','
                ORDER BY item.key COLLATE "C"
            ) INTO written FROM jsonb_each(key_json.value) AS item;
            RETURN '{' || coalesce(written, '') || '}';
        WHEN 'array' THEN
            SELECT string_agg(mainspring.key_json(item.value), ',' ORDER BY item.number) INTO written
            FROM jsonb_array_elements(key_json.value) WITH ORDINALITY AS item (value, number);
            RETURN '[' || coalesce(written, '') || ']';
        WHEN 'string' THEN
            written := value::text;
            IF octet_length(written) = length(written) AND strpos(written, chr(127)) = 0 THEN
                RETURN written;
            END IF;
            SELECT string_agg(CASE
                WHEN code < 127 THEN letter
                WHEN code < 65536 THEN '\u' || lpad(to_hex(code), 4, '0')
                ELSE '\u' || to_hex(55296 + ((code - 65536) >> 10)) || '\u' || to_hex(56320 + ((code - 65536) & 1023))
            END, '' ORDER BY number) INTO written
            FROM (
                SELECT letter, number, ascii(letter) AS code
                FROM unnest(string_to_array(written, NULL)) WITH ORDINALITY AS of_text (letter, number)
            ) AS letters;
            RETURN written;
        WHEN 'number' THEN
            written := value::text;
            IF strpos(written, '.') = 0 THEN
                RETURN written;
            END IF;
            IF abs(written::numeric) < 2.5e-324 THEN
                RETURN CASE WHEN written::numeric < 0 THEN '-0.0' ELSE '0.0' END;
            END IF;
            written := written::double precision::text;
            IF written LIKE '%e+15' THEN  -- written without an exponent there
                digits := translate(split_part(written, 'e', 1), '-.', '');
                RETURN CASE WHEN written LIKE '-%' THEN '-' ELSE '' END || rpad(left(digits, 16), 16, '0') || '.'
                    || coalesce(nullif(substr(digits, 17), ''), '0');
            END IF;
            RETURN CASE WHEN written ~ '[.e]' THEN written ELSE written || '.0' END;
        ELSE
            RETURN value::text;
    END CASE;
END
$$;

CREATE FUNCTION mainspring.key_text(value jsonb) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN length(written) <= 500 THEN written
        ELSE 'sha256:' || encode(sha256(convert_to(written, 'UTF8')), 'hex') END
    FROM (SELECT mainspring.key_json(value) AS written OFFSET 0) AS key
$$;

-- 'Did you mean "…"?' for the known job whose name has most letters, and pairs of them, in common with this one, or NULL.
CREATE FUNCTION mainspring.nearest_job(name text) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'Did you mean "' || job || '"?'
    FROM (
        SELECT job, 2.0 * (
            SELECT count(*) FROM (
                SELECT substr(lower(job), n, many) FROM generate_series(1, length(job)) AS n, generate_series(1, 2) AS many
                INTERSECT
                SELECT substr(lower(name), n, many)
                FROM generate_series(1, least(length(name), 200)) AS n, generate_series(1, 2) AS many
            ) AS parts
        ) / (2 * (length(job) + length(name))) AS likeness
        FROM (SELECT DISTINCT job FROM mainspring.announced WHERE job <> nearest_job.name) AS announced
    ) AS known
    WHERE likeness > 0.4 ORDER BY likeness DESC, job LIMIT 1
$$;

-- Whether a queue has as many waiting runs as it may have. Where it may have very many they are counted only when the
-- indexes, as they were when they were looked at last, hold half as many.
CREATE FUNCTION mainspring.is_full(name text, most bigint) RETURNS boolean LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    waiting bigint;
BEGIN
    IF most > 10000 THEN
        SELECT sum(greatest(reltuples, 0)) INTO waiting FROM pg_class
        WHERE oid IN ('mainspring.run_lane'::regclass, 'mainspring.run_later'::regclass);
        IF waiting < most / 2 THEN
            RETURN false;
        END IF;
    END IF;
    SELECT count(*) INTO waiting FROM (
        SELECT 1 FROM mainspring.run WHERE state = 4 AND losses < 2 AND queue = name
        UNION ALL
        SELECT 1 FROM mainspring.run WHERE state = 4 AND losses >= 2 AND queue = name
        UNION ALL
        SELECT 1 FROM mainspring.run WHERE state >= 1 AND state <= 3 AND queue = name
        UNION ALL
        SELECT 1 FROM mainspring.run WHERE state = 0 AND concurrency_key IS NOT NULL AND queue = name
        UNION ALL
        SELECT 1 FROM mainspring.run WHERE state = 0 AND rate_key IS NOT NULL AND concurrency_key IS NULL AND queue = name
        LIMIT most
    ) AS counted;
    RETURN waiting >= most;
END
$$;

-- Enqueues a run in the caller's transaction; its id, or that of the run that has its unique key.
-- What is not given is as the job's kernel announces it. Any role that may use the schema and execute this may enqueue.
CREATE FUNCTION mainspring.enqueue(
    job text,
    payload jsonb DEFAULT '{}',
    priority integer DEFAULT NULL,
    delay interval DEFAULT NULL,
    at timestamptz DEFAULT NULL,
    queue text DEFAULT NULL,
    unique_key text DEFAULT NULL,
    expires interval DEFAULT NULL,
    tags text[] DEFAULT NULL
) RETURNS text LANGUAGE plpgsql VOLATILE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
<<made>>
DECLARE
    hundred_years CONSTANT double precision := 100 * 365.25 * 86400;
    info jsonb;
    values_given jsonb;
    unique_by jsonb;
    within double precision;
    on_conflict text := 'keep';
    key text;
    concurrency_key text;
    rate_key text;
    all_tags text[];
    now double precision;
    due double precision;
    expires_at double precision;
    most_waiting bigint;
    run_state smallint;
    id uuid;
    holder uuid;
    holder_state smallint;
    names text;
BEGIN
    -- As the statement announced: of kernels that are alive, of all when none of them has announced anything.
    SELECT announced.info::jsonb INTO info FROM mainspring.announced
    WHERE announced.job = enqueue.job AND (
        EXISTS (SELECT 1 FROM mainspring.kernel WHERE kernel.id = announced.kernel AND kernel.lease_until > mainspring.clock())
        OR NOT EXISTS (
            SELECT 1 FROM mainspring.kernel
            WHERE kernel.lease_until > mainspring.clock()
                AND EXISTS (SELECT 1 FROM mainspring.announced AS other WHERE other.kernel = kernel.id)
        )
    )
    ORDER BY announced.announced DESC, announced.kernel LIMIT 1;
    IF info IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('there is no job named %L', left(enqueue.job, 200)),
            HINT = coalesce(
                mainspring.nearest_job(enqueue.job),
                'Kernels announce their jobs when they start, by their full names, as fleet.process-car.'
            );
    END IF;

    -- The payload
    payload := coalesce(enqueue.payload, '{}');
    IF jsonb_typeof(payload) <> 'object' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('enqueue %s: payload: %s: expected an object, the job''s parameters by name',
                enqueue.job, left(payload::text, 60));
    END IF;
    IF octet_length(payload::text) > (info ->> 'max_payload')::bigint THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('enqueue %s: payload: %s bytes of JSON; expected at most %s bytes',
                enqueue.job, octet_length(payload::text), info ->> 'max_payload');
    END IF;
    IF jsonb_path_exists(payload, 'strict $.**{64 to last} ? (@.type() == "object" || @.type() == "array")')
        OR jsonb_path_exists(payload, '$.** ? (@.type() == "number" && (@ > 1e3000 || @ < -1e3000))') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('enqueue %s: payload: expected at most 64 levels, and numbers of at most 3,000 digits',
                enqueue.job);
    END IF;
    SELECT string_agg(name, ', ') INTO names
    FROM jsonb_array_elements_text(coalesce(info #> '{payload,required}', '[]')) AS name WHERE NOT payload ? name;
    IF names IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('enqueue %s: payload: expected the parameters %s too, which have no default', enqueue.job, names);
    END IF;
    SELECT string_agg(left(name, 60), ', ') INTO names FROM jsonb_object_keys(payload) AS name
    WHERE info #> '{payload,additionalProperties}' = 'false' AND NOT coalesce(info #> '{payload,properties}' ? name, false);
    IF names IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('enqueue %s: payload: the job has no parameters %s', enqueue.job, names);
    END IF;

    -- The options
    priority := coalesce(enqueue.priority, (info ->> 'priority')::integer);
    IF priority NOT BETWEEN 0 AND 9 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('enqueue %s: priority: %s: expected 0 (first) to 9 (last)', enqueue.job, priority);
    END IF;
    queue := coalesce(enqueue.queue, info ->> 'queue');
    IF queue !~ '^[A-Za-z0-9_][A-Za-z0-9_-]{0,99}$' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('enqueue %s: queue: %L: expected letters, digits, _ and -, at most 100',
                enqueue.job, left(queue, 120));
    END IF;
    IF delay IS NOT NULL AND at IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('enqueue %s: delay and at: expected one of the two', enqueue.job);
    END IF;
    IF delay IS NOT NULL AND extract(epoch FROM delay) NOT BETWEEN 0 AND hundred_years THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('enqueue %s: delay: %s: expected zero to 100 years', enqueue.job, delay);
    END IF;
    IF at IS NOT NULL AND extract(epoch FROM at) > extract(epoch FROM clock_timestamp()) + hundred_years THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('enqueue %s: at: %s: expected an instant within 100 years', enqueue.job, at);
    END IF;
    IF expires IS NOT NULL AND (extract(epoch FROM expires) <= 0 OR extract(epoch FROM expires) > hundred_years) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('enqueue %s: expires: %s: expected more than zero, and at most 100 years', enqueue.job, expires);
    END IF;
    IF unique_key IS NOT NULL AND (length(unique_key) NOT BETWEEN 1 AND 500 OR unique_key ~ '[[:cntrl:]]') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('enqueue %s: unique_key: expected printable text of 1 to 500 characters', enqueue.job);
    END IF;
    IF cardinality(tags) > 20 OR EXISTS (
        SELECT 1 FROM unnest(enqueue.tags) AS tag WHERE tag IS NULL OR length(tag) NOT BETWEEN 1 AND 100 OR tag ~ '[[:cntrl:]]'
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('enqueue %s: tags: expected at most 20 printable texts of 1 to 100 characters', enqueue.job);
    END IF;
    SELECT array_agg(tag ORDER BY number) INTO all_tags FROM (
        SELECT tag, min(number) AS number FROM unnest(
            ARRAY(SELECT jsonb_array_elements_text(info -> 'tags')) || coalesce(enqueue.tags, '{}')
        ) WITH ORDINALITY AS given (tag, number) GROUP BY tag
    ) AS distinct_tags;

    -- The keys, made of the payload as the job will see it
    values_given := coalesce(info -> 'defaults', '{}') || payload;
    IF info ->> 'concurrency_by' IS NOT NULL THEN
        concurrency_key := mainspring.key_text(coalesce(values_given -> (info ->> 'concurrency_by'), 'null'));
    END IF;
    IF info ->> 'rate_limit_by' IS NOT NULL THEN
        rate_key := mainspring.key_text(coalesce(values_given -> (info ->> 'rate_limit_by'), 'null'));
    END IF;
    IF jsonb_typeof(info -> 'unique') = 'object' THEN
        within := (info #>> '{unique,within}')::double precision;
        on_conflict := info #>> '{unique,on_conflict}';
        unique_by := info #> '{unique,by}';
        key := coalesce(unique_key, info #>> '{unique,key}');
        IF key IS NULL AND jsonb_array_length(unique_by) > 0 THEN
            SELECT mainspring.key_text(jsonb_object_agg(name, coalesce(values_given -> name, 'null'))) INTO key
            FROM jsonb_array_elements_text(unique_by) AS name;
        ELSIF key IS NULL THEN
            key := mainspring.key_text(values_given);
        END IF;
    ELSE
        key := unique_key;
    END IF;

    IF queue = info ->> 'queue' THEN
        most_waiting := (info ->> 'queue_max_waiting')::bigint;
    ELSE
        SELECT (announced.info::jsonb ->> 'queue_max_waiting')::bigint INTO most_waiting
        FROM mainspring.announced WHERE announced.queue = enqueue.queue ORDER BY announced.announced DESC LIMIT 1;
    END IF;
    most_waiting := coalesce(most_waiting, 1000000);

    FOR try IN 1 .. 10 LOOP
        now := mainspring.clock();
        due := CASE
            WHEN delay IS NOT NULL THEN now + extract(epoch FROM delay)
            WHEN at IS NOT NULL THEN greatest(extract(epoch FROM at), now)
            WHEN on_conflict = 'debounce' THEN now + coalesce(within, 0)
            ELSE now
        END;
        expires_at := due + coalesce(extract(epoch FROM expires), (info ->> 'expires_seconds')::double precision);
        run_state := CASE WHEN due > now THEN 1 ELSE 4 END;
        holder := NULL;
        IF key IS NOT NULL THEN
            SELECT run.id, run.state INTO holder, holder_state FROM mainspring.run
            WHERE run.job = enqueue.job AND run.unique_key = key AND run.unique_key IS NOT NULL AND run.state <= 5;
            IF holder IS NULL THEN
                SELECT unique_period.run, 6 INTO holder, holder_state FROM mainspring.unique_period
                WHERE unique_period.job = enqueue.job AND unique_period.key = made.key AND unique_period.until > now;
            END IF;
            IF holder IS NOT NULL AND (on_conflict = 'keep' OR holder_state > 4) THEN
                RETURN holder::text;
            END IF;
        END IF;
        IF holder IS NOT NULL THEN
            UPDATE mainspring.run SET
                payload = enqueue.payload::text, queue = enqueue.queue, priority = enqueue.priority, state = run_state,
                due = made.due, urgency = made.due + enqueue.priority * 600.0, expires = expires_at, tags = all_tags,
                concurrency_key = made.concurrency_key, rate_key = made.rate_key
            WHERE run.id = holder AND run.state + 0 <= 4;
            CONTINUE WHEN NOT FOUND;  -- it has begun just now
            DELETE FROM mainspring.step WHERE step.run = holder;
            DELETE FROM mainspring.edge WHERE edge.child = holder;
            id := holder;
        ELSE
            IF mainspring.is_full(queue, most_waiting) THEN
                RAISE EXCEPTION USING ERRCODE = 'configuration_limit_exceeded',
                    MESSAGE = format('queue "%s" is full: %s runs wait', enqueue.queue, most_waiting),
                    HINT = format('Let it drain, or raise queues.%s.max_waiting.', enqueue.queue);
            END IF;
            id := mainspring.new_id();
            INSERT INTO mainspring.run (
                id, job, queue, priority, payload, state, enqueued, due, urgency, expires, unique_key, tags, concurrency_key,
                rate_key
            ) VALUES (
                made.id, enqueue.job, enqueue.queue, enqueue.priority, enqueue.payload::text, run_state, now, made.due,
                made.due + enqueue.priority * 600.0, expires_at, key, all_tags, made.concurrency_key, made.rate_key
            ) ON CONFLICT DO NOTHING;
            CONTINUE WHEN NOT FOUND;  -- somebody else has the key since
            IF EXISTS (
                SELECT 1 FROM mainspring.unique_period
                WHERE unique_period.job = enqueue.job AND unique_period.key = made.key AND unique_period.until > now
            ) THEN  -- somebody else had it in between, and his run has ended already
                DELETE FROM mainspring.run WHERE run.id = made.id;
                CONTINUE;
            END IF;
        END IF;
        IF key IS NOT NULL AND within IS NOT NULL THEN
            INSERT INTO mainspring.unique_period AS kept (job, key, run, until)
            VALUES (enqueue.job, made.key, made.id, now + within)
            ON CONFLICT (job, key) DO UPDATE SET
                run = excluded.run,
                until = CASE WHEN kept.run = excluded.run THEN greatest(kept.until, excluded.until) ELSE excluded.until END;
        END IF;
        PERFORM pg_notify(rtrim('mainspring.', '.') || '_changes', '');
        RETURN id::text;
    END LOOP;
    RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
        MESSAGE = format('enqueue %s: others were faster each time; try again', enqueue.job);
END
$$;

-- Who may enqueue is said by name: GRANT USAGE ON SCHEMA, and GRANT EXECUTE ON this function.
REVOKE ALL ON FUNCTION mainspring.enqueue(text, jsonb, integer, interval, timestamptz, text, text, interval, text[]) FROM PUBLIC;
