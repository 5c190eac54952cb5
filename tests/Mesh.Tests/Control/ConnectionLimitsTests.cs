// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Tests.Control;

/// <summary>Each limit of connections is reached, says so, and is free again afterwards.</summary>
public sealed class ConnectionLimitsTests
{
    private readonly ConnectionLimits _limits = new();

    [Fact]
    public void One_address_reaches_its_own_limits_and_leaves_room_for_others()
    {
        Enter("a", ConnectionLimits.MaxHandshakesPerAddress, open: false);
        IsFull("a", $"{ConnectionLimits.MaxHandshakesPerAddress} handshakes in progress with a");
        Assert.Null(_limits.Enter("b"));
        for (int i = 0; i < ConnectionLimits.MaxHandshakesPerAddress; i++)
            _limits.HandshakeEnded("a");
        Enter("a", ConnectionLimits.MaxPerAddress - ConnectionLimits.MaxHandshakesPerAddress, open: true);
        IsFull("a", $"{ConnectionLimits.MaxPerAddress} connections from a");
        Assert.Null(_limits.Enter("b"));
        _limits.Leave("a");
        Assert.Null(_limits.Enter("a"));
    }

    [Fact]
    public void All_addresses_together_reach_the_limits_of_the_node()
    {
        int addresses = ConnectionLimits.MaxHandshakes / ConnectionLimits.MaxHandshakesPerAddress;
        for (int i = 0; i < addresses; i++)
            Enter($"h{i}", ConnectionLimits.MaxHandshakesPerAddress, open: false);
        IsFull("another", $"{ConnectionLimits.MaxHandshakes} handshakes in progress");
        for (int i = 0; i < addresses; i++)
        {
            for (int j = 0; j < ConnectionLimits.MaxHandshakesPerAddress; j++)
                _limits.HandshakeEnded($"h{i}");
        }

        for (int i = 0; _limits.Connections < ConnectionLimits.MaxConnections; i++)
            Enter($"c{i}", 256, open: true);
        IsFull("another", $"{ConnectionLimits.MaxConnections} connections");
        Assert.Equal(2, _limits.Refused);
    }

    [Theory]
    [InlineData("10.0.0.7:5123", "10.0.0.7")]
    [InlineData("[fe80::1]:80", "fe80::1")]
    [InlineData("[::ffff:10.0.0.7]:80", "::ffff:10.0.0.7")]
    [InlineData("", "unix")]
    [InlineData("/run/somebody.sock", "unix")]
    public void An_address_is_that_of_the_host(string remote, string address) =>
        Assert.Equal(address, ConnectionLimits.AddressOf(remote));

    [Fact]
    public async Task Frames_that_wait_are_bounded_and_the_caller_is_told()
    {
        var runtime = new MeshRuntime { Network = null! };
        var handler = new PeerHandler(runtime);
        var stuck = new StuckPipe();
        var channel = new PeerChannel(stuck, new FrameReader(stuck), new Hello
        {
            Cluster = "c",
            Lane = Lane.Client,
            NodeId = "n",
            Incarnation = 1,
        }, handler, runtime);
        byte[] value = new byte[Wire.MaxInline];
        var request = new PutRequest(new PutHead(new MeshKey("k"), 1, value.Length, 1, false, 1000), 0, value);
        int most = (int)(FrameBudget.MaxBytes / value.Length);
        for (int i = 0; i < most - 1; i++)
            _ = CallAsync(channel, request);
        MeshResult<PutAnswer> refused = default;
        for (int i = 0; i < 2 && refused.Error is null; i++)
        {
            var last = CallAsync(channel, request);
            refused = last.IsCompleted ? await last : default;
        }

        Assert.Equal(MeshErrorCode.Busy, refused.Error?.Code);
        Assert.Contains($"{FrameBudget.MaxBytes} bytes", refused.Error!.Message, StringComparison.Ordinal);
        Assert.InRange(handler.Budget.Bytes, 1, FrameBudget.MaxBytes);
        channel.Abort();
        stuck.Release();
        while (handler.Budget.Bytes > 0)
            await Task.Delay(1, TestContext.Current.CancellationToken);
    }

    private static Task<MeshResult<PutAnswer>> CallAsync(PeerChannel channel, PutRequest request) =>
        channel.CallAsync<PutRequest, PutAnswer>(request, TimeSpan.FromMinutes(1), CancellationToken.None);

    private void Enter(string address, int count, bool open)
    {
        for (int i = 0; i < count; i++)
        {
            Assert.Null(_limits.Enter(address));
            if (open)
                _limits.HandshakeEnded(address);
        }
    }

    private void IsFull(string address, string why)
    {
        var full = _limits.Enter(address);
        Assert.Equal(MeshErrorCode.Busy, full?.Code);
        Assert.Contains(why, full!.Message, StringComparison.Ordinal);
    }

    /// <summary>A connection whose other side takes nothing.</summary>
    private sealed class StuckPipe : IPeerConnection
    {
        private readonly TaskCompletionSource _released = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public string RemoteEndpoint => "stuck";

        public void Release() => _released.TrySetResult();

        public async ValueTask SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel)
        {
            await _released.Task;
            throw new PeerNetworkException("closed");
        }

        public async ValueTask<int> ReceiveAsync(Memory<byte> buffer, CancellationToken cancel)
        {
            await _released.Task;
            return 0;
        }

        public void Abort() => Release();

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
