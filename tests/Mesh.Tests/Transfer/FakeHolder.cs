// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Transfer;

/// <summary>The holder's side of the data lane, played by hand.</summary>
internal sealed class FakeHolder : IAsyncDisposable
{
    private readonly IPeerListener _listener;

    public FakeHolder()
    {
        _listener = Runtime.Network.Listen("127.0.0.1:0");
        Record = new NodeRecord { NodeId = "fake", Incarnation = 77, Endpoints = [_listener.Endpoint] };
    }

    public MeshRuntime Runtime { get; } = new() { Network = new SocketNetwork() };

    public NodeRecord Record { get; }

    public ExtentRead Read(long length) => new(Record, 0, 0, 1, length);

    public TcpTransport Transport(int connections = 1) =>
        new(new PeerDialer(TransferWorld.Hello, new Handshake(null, Runtime), Runtime, "", TimeSpan.FromSeconds(60)),
            connections);

    /// <summary>Accepts a data connection and shakes hands.</summary>
    public async Task<IPeerConnection> AcceptAsync()
    {
        var connection = await _listener.AcceptAsync(TestContext.Current.CancellationToken);
        using var reader = new FrameReader(connection);
        var hello = await new Handshake(null, Runtime).AcceptAsync(connection, reader,
            offered => TransferWorld.Hello(offered.Lane, "") with { NodeId = "fake", Incarnation = 77 },
            TestContext.Current.CancellationToken);
        Assert.True(hello.Succeeded);
        return connection;
    }

    public static async Task<DataRequest> RequestAsync(IPeerConnection connection)
    {
        byte[] header = new byte[DataRequest.Bytes];
        for (int at = 0; at < header.Length;)
        {
            int got = await connection.ReceiveAsync(header.AsMemory(at), TestContext.Current.CancellationToken);
            Assert.NotEqual(0, got);
            at += got;
        }

        return DataRequest.Read(header);
    }

    /// <summary>Answers a read, and sends the first bytes of what was asked for.</summary>
    public static async Task AnswerAsync(IPeerConnection connection, DataRequest request, int bytes)
    {
        byte[] answer = new byte[DataAnswer.Bytes + bytes];
        new DataAnswer(DataStatus.Done, request.Id, request.Length).Write(answer);
        answer.AsSpan(DataAnswer.Bytes).Fill(9);
        await connection.SendAsync(answer, TestContext.Current.CancellationToken);
    }

    public ValueTask DisposeAsync() => _listener.DisposeAsync();
}
