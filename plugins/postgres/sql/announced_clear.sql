DELETE FROM mainspring.announced
