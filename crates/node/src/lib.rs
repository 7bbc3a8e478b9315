//! The embedded node agent: pods as isolated local processes.
