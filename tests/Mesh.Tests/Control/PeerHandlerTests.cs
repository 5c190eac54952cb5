// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Tests.Control;

public sealed class PeerHandlerTests
{
    private static readonly Hello Remote = new()
    {
        Cluster = "c",
        Lane = Lane.Client,
        NodeId = "",
        Incarnation = 0,
    };

    [Fact]
    public async Task Client_calls_above_the_limit_are_busy_and_the_others_are_answered()
    {
        var runtime = new MeshRuntime { Network = null! };
        var clients = new HeldClients();
        var caller = Connect(runtime, new PeerHandler(runtime) { Clients = clients });
        var calls = Enumerable.Range(0, PeerHandler.MaxClientCalls + 3).Select(_ => RemoveAsync(caller)).ToList();
        // Requests arrive in order: the last three are those above the limit.
        foreach (var call in calls[^3..])
        {
            var refused = await call;
            Assert.Equal(MeshErrorCode.Busy, refused.Error?.Code);
            Assert.Contains($"{PeerHandler.MaxClientCalls}", refused.Error!.Message, StringComparison.Ordinal);
        }

        clients.Release();
        foreach (var call in calls[..^3])
            Assert.Equal(OwnerCode.Absent, Assert.Single((await call).Value.Items).Code);
        Assert.True((await RemoveAsync(caller)).Succeeded);
    }

    [Fact]
    public async Task What_is_not_served_here_is_refused_and_the_connection_stays()
    {
        var runtime = new MeshRuntime { Network = null! };
        var caller = Connect(runtime, new PeerHandler(runtime));
        var refused = await RemoveAsync(caller);
        Assert.Equal(MeshErrorCode.Protocol, refused.Error?.Code);
        var located = await caller.CallAsync<LocateRequest, LocateAnswer>(
            new LocateRequest([new MeshKey("k")], false), TimeSpan.FromMinutes(1), CancellationToken.None);
        Assert.Equal(MeshErrorCode.Protocol, located.Error?.Code);
        Assert.True(caller.IsOpen);
    }

    private static Task<MeshResult<OwnerAnswers>> RemoveAsync(PeerChannel channel) =>
        channel.CallAsync<RemoveRequest, OwnerAnswers>(new RemoveRequest(new MeshKey("k"), 1000),
            TimeSpan.FromMinutes(1), CancellationToken.None);

    private static PeerChannel Connect(MeshRuntime runtime, PeerHandler handler)
    {
        var (a, b) = MemoryPipe.Pair();
        var caller = new PeerChannel(a, new FrameReader(a), Remote, new PeerHandler(runtime), runtime);
        caller.Start();
        new PeerChannel(b, new FrameReader(b), Remote, handler, runtime).Start();
        return caller;
    }

    /// <summary>Answers every remove once released.</summary>
    private sealed class HeldClients : IClientCalls
    {
        private readonly TaskCompletionSource _released = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public void Release() => _released.SetResult();

        public Task<MeshResult<PutAnswer>> PutAsync(PutRequest request, CancellationToken cancel) =>
            throw new NotSupportedException();

        public Task<MeshResult<ReserveAnswer>> ReserveAsync(ReserveRequest request, PeerChannel? from,
            CancellationToken cancel) => throw new NotSupportedException();

        public Task<MeshResult<PutAnswer>> SealAsync(SealRequest request, CancellationToken cancel) =>
            throw new NotSupportedException();

        public Task<MeshResult<RemoveAllAnswer>> RemoveAllAsync(RemoveAllRequest request, CancellationToken cancel) =>
            throw new NotSupportedException();

        public async Task<MeshResult<OwnerAnswers>> RemoveAsync(RemoveRequest request, CancellationToken cancel)
        {
            await _released.Task;
            return new OwnerAnswers(default, [new OwnerAnswer(OwnerCode.Absent)]);
        }
    }
}
