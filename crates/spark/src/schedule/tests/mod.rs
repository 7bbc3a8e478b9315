mod laws;
mod table;
mod takeover;
mod world;
