//! A catalog with nothing in it.

use super::fakes::Fake;
use async_trait::async_trait;
use gristmill::catalog::*;
use gristmill::store::Error;

#[async_trait]
impl Catalog for Fake {
    async fn catalog_changes(&self) -> Result<i64, Error> {
        unreachable!()
    }
    async fn catalog_changed(&self, _: std::time::Duration) {
        unreachable!()
    }
    async fn put_module(&self, _: &NewVersion) -> Result<Kept, Error> {
        unreachable!()
    }
    async fn module_versions(&self, _: Option<&str>) -> Result<Vec<Version>, Error> {
        Ok(Vec::new())
    }
    async fn module_version(&self, _: &str, _: &str) -> Result<Option<Version>, Error> {
        Ok(None)
    }
    async fn module_code(&self, _: &str) -> Result<Option<Vec<u8>>, Error> {
        unreachable!()
    }
    async fn remove_module(&self, _: &str, _: &str, _: &str, _: i64) -> Result<Removed, Error> {
        unreachable!()
    }
    async fn activate(&self, _: &NewActivation, _: Option<i64>) -> Result<Option<i64>, Error> {
        unreachable!()
    }
    async fn take_back(&self, _: i64, _: &str, _: &NewActivation) -> Result<Option<i64>, Error> {
        unreachable!()
    }
    async fn in_force(&self, _: &str) -> Result<Vec<Activation>, Error> {
        Ok(Vec::new())
    }
    async fn activations(&self, _: &str, _: Option<&str>, _: u32) -> Result<Vec<Activation>, Error> {
        Ok(Vec::new())
    }
    async fn activation(&self, _: i64) -> Result<Option<Activation>, Error> {
        Ok(None)
    }
    async fn report_lanes(&self, _: &[LaneReport]) -> Result<(), Error> {
        unreachable!()
    }
    async fn lane_reports(&self, _: &str) -> Result<Vec<LaneReport>, Error> {
        Ok(Vec::new())
    }
    async fn report_host(&self, _: &HostReport) -> Result<(), Error> {
        unreachable!()
    }
    async fn hosts_since(&self, _: i64) -> Result<Vec<HostReport>, Error> {
        Ok(Vec::new())
    }
    async fn set_paused(&self, _: &str, _: bool, _: &str, _: i64) -> Result<bool, Error> {
        unreachable!()
    }
    async fn paused(&self) -> Result<Vec<String>, Error> {
        unreachable!()
    }
    async fn audit(&self, _: &AuditLine) -> Result<(), Error> {
        Ok(())
    }
    async fn audit_trail(&self, _: Option<i64>, _: u32) -> Result<Vec<AuditLine>, Error> {
        Ok(Vec::new())
    }
    async fn put_revision(&self, _: &NewRevision, _: i64) -> Result<Option<i64>, Error> {
        unreachable!()
    }
    async fn newest_revisions(&self) -> Result<Vec<Revision>, Error> {
        Ok(Vec::new())
    }
    async fn revisions(&self, _: &str, _: u32) -> Result<Vec<Revision>, Error> {
        Ok(Vec::new())
    }
    async fn revision(&self, _: &str, _: i64) -> Result<Option<Revision>, Error> {
        Ok(None)
    }
}
