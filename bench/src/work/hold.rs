//! Processes that hold ports or connections open until they are killed or their input ends.

use std::net::SocketAddr;

use super::{Turn, listen, place};

/// Opens this many ports.
pub(crate) fn ports(count: u16) -> anyhow::Result<()> {
    let _open: Vec<_> = (0..count).map(listen::open).collect::<Result<_, _>>()?;
    Turn::new().wait().map(drop)
}

/// Echoes on this many ports, for as long as it lives.
pub(crate) fn echo(ports: u16) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut serving = tokio::task::JoinSet::new();
        for port in 0..ports {
            let socket = tokio::net::TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(SocketAddr::from(place(port)))?;
            serving.spawn(serve(socket.listen(1024)?));
        }
        let _ = Turn::new();
        while let Some(ended) = serving.join_next().await {
            ended??;
        }
        Ok(())
    })
}

async fn serve(listener: tokio::net::TcpListener) -> anyhow::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let (mut reader, mut writer) = stream.split();
            // A peer that breaks off is none of this process's concern.
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
        });
    }
}
