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
    private readonly IPeerListener[] _rails;

    /// <param name="time">Clock of the transports; null: the system's.</param>
    /// <param name="rails">Addresses of the holder's rails.</param>
    public FakeHolder(TimeProvider? time = null, params string[] rails)
    {
        Runtime = new MeshRuntime { Network = new SocketNetwork(), Time = time ?? TimeProvider.System };
        _listener = Runtime.Network.Listen("127.0.0.1:0");
        _rails = [.. rails.Select(rail => Runtime.Network.Listen(rail + ":0"))];
        Record = new NodeRecord
        {
            NodeId = "fake",
            Incarnation = 77,
            Endpoints = [_listener.Endpoint],
            Rails = [.. _rails.Select(rail => rail.Endpoint)],
        };
    }

    public MeshRuntime Runtime { get; }

    public NodeRecord Record { get; }

    public ExtentRead Read(long length) => new(Record, 0, 0, 1, length);

    public TcpTransport Transport(int connections = 1, IReadOnlyList<string>? rails = null) =>
        new(new PeerDialer(TransferWorld.Hello, new Handshake(null, Runtime), Runtime, "", TimeSpan.FromSeconds(60)),
            connections, rails);

    /// <summary>Accepts a data connection and shakes hands.</summary>
    public Task<IPeerConnection> AcceptAsync() => AcceptAsync(_listener);

    /// <summary>Accepts a data connection of a rail and shakes hands.</summary>
    public Task<IPeerConnection> AcceptAsync(int rail) => AcceptAsync(_rails[rail]);

    /// <summary>Refuses connections of a rail from now on.</summary>
    public ValueTask CloseAsync(int rail) => _rails[rail].DisposeAsync();

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

    public async ValueTask DisposeAsync()
    {
        await _listener.DisposeAsync();
        foreach (var rail in _rails)
            await rail.DisposeAsync();
    }

    private async Task<IPeerConnection> AcceptAsync(IPeerListener listener)
    {
        var connection = await listener.AcceptAsync(TestContext.Current.CancellationToken);
        using var reader = new FrameReader(connection);
        var hello = await new Handshake(null, Runtime).AcceptAsync(connection, reader,
            offered => TransferWorld.Hello(offered.Lane, "") with { NodeId = "fake", Incarnation = 77 },
            TestContext.Current.CancellationToken);
        Assert.True(hello.Succeeded);
        return connection;
    }
}
