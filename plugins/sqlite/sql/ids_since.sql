SELECT json_group_array(id) FROM run NOT INDEXED WHERE seq > ?
