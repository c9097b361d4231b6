SELECT name, definition, dynamic, anchor, looked_until, paused FROM schedule ORDER BY name
