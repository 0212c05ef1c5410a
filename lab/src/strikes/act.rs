//! What is done for a fault, from its begin to its end; that all is well again afterwards is looked at by
//! others.
//!
//! A fault ends when its time is over. What it takes beyond that, the ending of a process and its start, has
//! a limit of its own.

use std::time::Duration;

use tokio::time::sleep;

use super::StrikesError;
use super::draw::Fault;
use super::kinds::Kind;
use super::run::Run;

impl Run<'_> {
    pub(super) async fn act(&mut self, fault: &Fault) -> Result<(), StrikesError> {
        let (node, down) = (fault.node, fault.down);
        match fault.kind {
            Kind::Kill => self.kill(&[node], down).await,
            Kind::MajorityKill => self.kill(&self.others(node), down).await,
            Kind::AllKill => self.kill(&self.trio.ids(), down).await,
            Kind::Freeze => {
                self.trio.freeze(node)?;
                sleep(down).await;
                Ok(self.trio.thaw(node)?)
            }
            Kind::Stop => {
                self.trio.stop(node).await?;
                sleep(down).await;
                Ok(self.trio.restart(node).await?)
            }
            Kind::Cut | Kind::Mute | Kind::Deaf | Kind::Split | Kind::MajorityCut => {
                let cut = self.ground.cut(fault.kind, node)?;
                sleep(down).await;
                Ok(cut.heal()?)
            }
            Kind::CutKill => self.cut_and_kill(node, down).await,
            Kind::Clock => self.jump(node, fault.jump_s.unwrap_or(0), down).await,
            Kind::DiskFull => {
                self.ground.disks().fill(node)?;
                sleep(down).await;
                self.ground.disks().free(node)
            }
        }
    }

    async fn kill(&mut self, nodes: &[i32], down: Duration) -> Result<(), StrikesError> {
        self.trio.kill_together(nodes).await?;
        sleep(down).await;
        Ok(self.trio.restart_together(nodes).await?)
    }

    /// Cut off for all of the time; dead in the middle third of it. It starts where it finds nobody, and
    /// is ready some time after the cut has healed.
    async fn cut_and_kill(&mut self, node: i32, down: Duration) -> Result<(), StrikesError> {
        let cut = self.ground.cut(Kind::CutKill, node)?;
        sleep(down / 3).await;
        self.trio.kill(node).await?;
        sleep(down / 3).await;
        let heal = async {
            sleep(down / 3).await;
            cut.heal()
        };
        let (started, healed) = tokio::join!(self.trio.restart(node), heal);
        started?;
        Ok(healed?)
    }

    /// There, and back.
    async fn jump(&self, node: i32, by_s: i32, down: Duration) -> Result<(), StrikesError> {
        let clocks = self.ground.clocks();
        clocks.is_gone_by(node, self.trio.pid(node))?;
        clocks.set(node, by_s)?;
        sleep(down).await;
        clocks.set(node, 0)
    }

    fn others(&self, node: i32) -> Vec<i32> {
        let ids = self.trio.ids().into_iter();
        ids.filter(|&id| id != node).collect()
    }
}
