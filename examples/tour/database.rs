//! Stands for the primary database: the sessions of one user, and how often it was asked.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use auth_adapter_redis::key::SessionId;
use auth_adapter_redis::session::Row;

#[derive(Default)]
pub struct Database {
    active: Mutex<Vec<Row>>,
    asked: AtomicUsize,
}

impl Database {
    pub fn log_in(&self, row: &Row) {
        self.active.lock().unwrap().push(row.clone());
    }

    pub fn log_out_everywhere(&self) {
        self.active.lock().unwrap().clear();
    }

    pub fn log_out(&self, session: &SessionId) {
        self.active.lock().unwrap().retain(|row| row.id != *session);
    }

    pub fn active(&self, session: &SessionId) -> Option<Row> {
        self.all_active().into_iter().find(|row| row.id == *session)
    }

    pub fn all_active(&self) -> Vec<Row> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.active.lock().unwrap().clone()
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}
