//! Tests of the life of an application: a table of every state against every observation, the
//! sentences people read, and laws that hold in a small simulated world.

mod beside;
mod demands;
mod fixtures;
mod laws;
mod sentences;
mod stories;
mod table;
mod turns;
mod world;
