// SPDX-License-Identifier: Apache-2.0

using System.Net.Sockets;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Transfer;

[System.Runtime.Versioning.SupportedOSPlatform("linux")]
public sealed class UnixSocketFileTests : IDisposable
{
    private readonly string _directory = System.IO.Directory.CreateTempSubdirectory("mesh-socket-").FullName;
    private readonly SocketNetwork _network = new();

    private string Socket => Path.Combine(_directory, "s");

    [Fact]
    public async Task A_stale_socket_is_replaced_and_has_mode_0660()
    {
        var dead = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        dead.Bind(new UnixDomainSocketEndPoint(Socket + "x"));
        File.Move(Socket + "x", Socket);
        dead.Dispose();
        Assert.True(File.Exists(Socket));
        await using var listener = _network.Listen("unix:" + Socket);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.GroupWrite,
            File.GetUnixFileMode(Socket));
        await using var connection = await _network.ConnectAsync("unix:" + Socket,
            TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task A_socket_somebody_listens_on_is_not_stolen()
    {
        await using var listener = _network.Listen("unix:" + Socket);
        var refused = Assert.Throws<PeerNetworkException>(() => _network.Listen("unix:" + Socket));
        Assert.Contains(Socket, refused.Message);
        await using var connection = await _network.ConnectAsync("unix:" + Socket,
            TestContext.Current.CancellationToken);
    }

    [Fact]
    public void A_file_that_is_no_socket_is_left_alone()
    {
        File.WriteAllText(Socket, "precious");
        Assert.Throws<PeerNetworkException>(() => _network.Listen("unix:" + Socket));
        Assert.Equal("precious", File.ReadAllText(Socket));
    }

    public void Dispose() => System.IO.Directory.Delete(_directory, recursive: true);
}
