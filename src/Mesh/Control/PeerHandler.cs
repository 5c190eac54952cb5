// SPDX-License-Identifier: Apache-2.0

// On the data path.
using MessagePack;
using Microsoft.Extensions.Logging;

namespace Mooncake.Mesh.Control;

/// <summary>
/// Sends each request to the service of its rank. Ranks 0 and 1 are answered at once on the reader loop; rank 2 is
/// started and answers later, at most <see cref="MaxClientCalls"/> at a time, above that Busy.
/// </summary>
internal sealed class PeerHandler : IPeerHandler
{
    /// <summary>Client calls in progress at one node.</summary>
    public const int MaxClientCalls = 512;

    private const int RetryAfterMilliseconds = 5;
    private readonly ILogger _log;
    private int _clientCalls;
    private readonly LogGate _garbageGate;
    private readonly LogGate _faultGate;
    private long _garbage;
    private long _faults;

    public PeerHandler(MeshRuntime runtime)
    {
        _log = runtime.Log.CreateLogger("mesh.control");
        _garbageGate = new LogGate(runtime.Time);
        _faultGate = new LogGate(runtime.Time);
    }

    /// <summary>Set once the node is put together; null in a client, which answers pings alone.</summary>
    public IHolderCalls? Holder { get; set; }

    public IOwnerCalls? Owner { get; set; }

    public IClientCalls? Clients { get; set; }

    public INodeCalls? Node { get; set; }

    /// <summary>Null where there is no card.</summary>
    public IVerbsCalls? Verbs { get; set; }

    /// <summary>Told of every frame of a node, with its incarnation: it is alive.</summary>
    public Action<string, ulong>? OnHeard { get; set; }

    /// <summary>Connections closed because they sent no message of ours.</summary>
    public long GarbageConnections => Volatile.Read(ref _garbage);

    /// <summary>Requests that met a fault of ours; each was answered with Unknown.</summary>
    public long Faults => Volatile.Read(ref _faults);

    /// <inheritdoc/>
    public FrameBudget Budget { get; } = new();

    /// <inheritdoc/>
    public bool Serves(Lane lane) => Node is not null || (lane == Lane.Verbs && Verbs is not null);

    /// <inheritdoc/>
    public void Heard(PeerChannel channel)
    {
        if (channel.Remote.NodeId.Length > 0)
            OnHeard?.Invoke(channel.Remote.NodeId, channel.Remote.Incarnation);
    }

    /// <inheritdoc/>
    public void Garbage(PeerChannel channel, string reason)
    {
        Interlocked.Increment(ref _garbage);
        if (_garbageGate.TryPass(out long more))
        {
            _log.LogWarning("garbage_from_peer peer={Peer} reason={Reason} more={More}", channel.Remote.NodeId, reason,
                more);
        }
    }

    /// <inheritdoc/>
    public void Handle(PeerChannel channel, MessageType type, ulong id, ReadOnlyMemory<byte> frame,
        ref MessagePackReader reader)
    {
        bool known;
        try
        {
            known = (int)type switch
            {
                < 20 => HandleNode(channel, type, id, ref reader),
                < 30 => HandleHolder(channel, type, id, ref reader),
                < 40 => HandleOwner(channel, type, id, frame, ref reader),
                >= 50 => HandleVerbs(channel, type, id, ref reader),
                _ => HandleClient(channel, type, id, ref reader),
            };
        }
        catch (Exception e) when (e is not (WireException or MessagePackSerializationException
            or EndOfStreamException or OverflowException))
        {
            // A fault of ours: the caller gets its one answer, and the other calls of the connection go on.
            Fault(channel, id, e);
            return;
        }

        if (!known)
        {
            channel.Refuse(id, new Failure(MeshErrorCode.Protocol, "control",
                $"message type {(int)type} is not known or not served here"));
        }
    }

    private bool HandleNode(PeerChannel channel, MessageType type, ulong id, ref MessagePackReader reader)
    {
        if (Node is null)
            return false;
        switch (type)
        {
            case MessageType.Ping:
                channel.Answer(id, Node.Ping(PingRequest.Read(ref reader), channel));
                return true;
            case MessageType.ViewPull:
                channel.Answer(id, Node.PullView(ViewPullRequest.Read(ref reader)));
                return true;
            case MessageType.Status:
                channel.Answer(id, Node.Status());
                return true;
            default:
                return false;
        }
    }

    private bool HandleHolder(PeerChannel channel, MessageType type, ulong id, ref MessagePackReader reader)
    {
        if (Holder is null)
            return false;
        switch (type)
        {
            case MessageType.Drop:
                channel.Answer(id, Holder.Drop(DropRequest.Read(ref reader)));
                return true;
            case MessageType.Read:
                Answer(channel, id, Holder.ReadAsync(ReadRequest.Read(ref reader)));
                return true;
            case MessageType.HolderList:
                channel.Answer(id, Holder.List(HolderListRequest.Read(ref reader)));
                return true;
            case MessageType.Abandon:
                channel.Answer(id, Holder.Abandon(AbandonRequest.Read(ref reader)));
                return true;
            case MessageType.Pin:
                Answer(channel, id, Holder.Pin(PinRequest.Read(ref reader)));
                return true;
            case MessageType.DropGroup:
                channel.Answer(id, Holder.DropGroup(DropGroupRequest.Read(ref reader)));
                return true;
            case MessageType.Clear:
                channel.Answer(id, Holder.Clear(ClearRequest.Read(ref reader)));
                return true;
            case MessageType.Match:
                Answer(channel, id, Holder.Match(MatchRequest.Read(ref reader)));
                return true;
            case MessageType.ViewExtent:
                Answer(channel, id, Holder.View(ViewExtentRequest.Read(ref reader)));
                return true;
            case MessageType.Sums:
                channel.Answer(id, Holder.Sums(SumsRequest.Read(ref reader)));
                return true;
            default:
                return false;
        }
    }

    private bool HandleOwner(PeerChannel channel, MessageType type, ulong id, ReadOnlyMemory<byte> frame,
        ref MessagePackReader reader)
    {
        if (Owner is null)
            return false;
        switch (type)
        {
            case MessageType.Publish:
                channel.Answer(id, Owner.Publish(PublishRequest.Read(ref reader)));
                return true;
            case MessageType.Mirror:
                channel.Answer(id, Owner.Mirror(MirrorRequest.Read(ref reader)));
                return true;
            case MessageType.Locate:
                var answer = FrameBuffer.Begin(MessageType.Answer, id, out var writer);
                Owner.Locate(ref reader, frame.Span, ref writer);
                channel.Answer(id, answer, ref writer);
                return true;
            case MessageType.Retract:
                channel.Answer(id, Owner.Retract(RetractRequest.Read(ref reader)));
                return true;
            case MessageType.SlotPull:
                channel.Answer(id, Owner.Pull(SlotPullRequest.Read(ref reader)));
                return true;
            case MessageType.SlotState:
                channel.Answer(id, Owner.State(SlotStateRequest.Read(ref reader)));
                return true;
            case MessageType.Claim:
                channel.Answer(id, Owner.Claim(ClaimRequest.Read(ref reader)));
                return true;
            case MessageType.Settle:
                channel.Answer(id, Owner.Settle(SettleRequest.Read(ref reader)));
                return true;
            case MessageType.Owe:
                channel.Answer(id, Owner.Owe(OweRequest.Read(ref reader)));
                return true;
            case MessageType.ViewKey when Holder is not null:
                var view = ViewKeyRequest.Read(ref reader);
                Answer(channel, id, Holder.View(view, Owner.Locate(new LocateRequest([view.Key], true))));
                return true;
            default:
                return false;
        }
    }

    private bool HandleClient(PeerChannel channel, MessageType type, ulong id, ref MessagePackReader reader)
    {
        if (Clients is null)
            return false;
        switch (type)
        {
            case MessageType.Put:
                var put = PutRequest.Read(ref reader);
                Begin(channel, id, Clients, put, static (clients, request, _) => clients.PutAsync(request, default));
                return true;
            case MessageType.Reserve:
                var reserve = ReserveRequest.Read(ref reader);
                Begin(channel, id, Clients, reserve, static (clients, request, from) =>
                    clients.ReserveAsync(request, from, default));
                return true;
            case MessageType.Seal:
                var seal = SealRequest.Read(ref reader);
                Begin(channel, id, Clients, seal, static (clients, request, _) => clients.SealAsync(request, default));
                return true;
            case MessageType.Remove:
                var remove = RemoveRequest.Read(ref reader);
                Begin(channel, id, Clients, remove, static (clients, request, _) =>
                    clients.RemoveAsync(request, default));
                return true;
            case MessageType.RemoveAll:
                var removeAll = RemoveAllRequest.Read(ref reader);
                Begin(channel, id, Clients, removeAll, static (clients, request, _) =>
                    clients.RemoveAllAsync(request, default));
                return true;
            default:
                return false;
        }
    }

    private bool HandleVerbs(PeerChannel channel, MessageType type, ulong id, ref MessagePackReader reader)
    {
        if (Verbs is null || channel.Remote.Lane != Lane.Verbs)
            return false;
        switch (type)
        {
            case MessageType.VerbsOpen:
                Answer(channel, id, Verbs.Open(VerbsOpenRequest.Read(ref reader), channel));
                return true;
            case MessageType.VerbsPair:
                var pair = VerbsPairRequest.Read(ref reader);
                Begin(channel, id, Verbs, pair, static (verbs, request, from) => verbs.PairAsync(request, from));
                return true;
            case MessageType.VerbsPull:
                var pull = VerbsPullRequest.Read(ref reader);
                Begin(channel, id, Verbs, pull, static (verbs, request, from) => verbs.PullAsync(request, from));
                return true;
            case MessageType.VerbsKeys:
                Answer(channel, id, Verbs.Keys(VerbsKeysRequest.Read(ref reader)));
                return true;
            default:
                return false;
        }
    }

    private static void Answer<T>(PeerChannel channel, ulong id, in MeshResult<T> result)
        where T : IWireMessage<T>
    {
        if (result.Succeeded)
            channel.Answer(id, result.Value);
        else
            channel.Refuse(id, FailureOf(result.Error!));
    }

    private void Answer<T>(PeerChannel channel, ulong id, ValueTask<MeshResult<T>> result)
        where T : IWireMessage<T>
    {
        if (result.IsCompletedSuccessfully)
            Answer(channel, id, result.Result);
        else
            Begin(channel, id, this, result, static (_, call, _) => call.AsTask());
    }

    /// <summary>
    /// Begins a call that may wait. What it is made with is handed over: a closure would hold every kind of request.
    /// </summary>
    private void Begin<TCalls, TRequest, T>(PeerChannel channel, ulong id, TCalls calls, in TRequest request,
        Func<TCalls, TRequest, PeerChannel, Task<MeshResult<T>>> call)
        where T : IWireMessage<T>
    {
        if (Interlocked.Increment(ref _clientCalls) > MaxClientCalls)
        {
            Interlocked.Decrement(ref _clientCalls);
            channel.Refuse(id, new Failure(MeshErrorCode.Busy, "control",
                $"{MaxClientCalls} client calls are in progress here", RetryAfterMilliseconds));
            return;
        }

        try
        {
            _ = FinishAsync(channel, id, call(calls, request, channel));
        }
        catch (Exception e)
        {
            Interlocked.Decrement(ref _clientCalls);
            Fault(channel, id, e);
        }
    }

    private async Task FinishAsync<T>(PeerChannel channel, ulong id, Task<MeshResult<T>> call)
        where T : IWireMessage<T>
    {
        try
        {
            Answer(channel, id, await call);
        }
        catch (Exception e)
        {
            Fault(channel, id, e);
        }
        finally
        {
            Interlocked.Decrement(ref _clientCalls);
        }
    }

    private void Fault(PeerChannel channel, ulong id, Exception e)
    {
        Interlocked.Increment(ref _faults);
        if (_faultGate.TryPass(out long more))
            _log.LogError(e, "request_failed peer={Peer} more={More}", channel.Remote.NodeId, more);
        channel.Refuse(id, new Failure(MeshErrorCode.Unknown, "control", "the node met a fault of its own"));
    }

    private static Failure FailureOf(MeshError error) => new(error.Code, error.Stage, error.Message);
}
