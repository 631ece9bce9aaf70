//! Random schedules for the session core, against a model.
