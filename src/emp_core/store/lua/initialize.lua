-- initialize: give a new store its epoch, and answer the epoch that it has.
-- KEYS  tag
-- ARGV  epoch
-- REPLY the epoch
-- FLAGS allow-oom
-- Like every script it gives a new store its format, too, and refuses one of another format.
return set_epoch(epoch)
