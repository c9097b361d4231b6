-- How a run's last error is shown, ``Type: message``, to be searched; what is no failure as we write it is shown as it is.
CREATE FUNCTION mainspring.error_shown(error text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    found json;
BEGIN
    found := error::json;
    RETURN coalesce(
        CASE WHEN found -> 'traceback' IS NOT NULL THEN (found ->> 'type') || ': ' || (found ->> 'message') END,
        'unknown: ' || error
    );
EXCEPTION WHEN data_exception OR invalid_parameter_value THEN
    RETURN 'unknown: ' || error;
END
$$;
