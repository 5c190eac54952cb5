// SPDX-License-Identifier: Apache-2.0

using System.Buffers;
using MessagePack;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Shared;

/// <summary>One legal message, encoded.</summary>
/// <param name="Message">The type's name.</param>
/// <param name="Type">What a frame that holds it says; answers all say the same.</param>
/// <param name="Body">The encoded message.</param>
/// <param name="Read">Decodes bytes as this message.</param>
/// <param name="Again">Decodes bytes as this message and encodes it as a wire version has it.</param>
internal sealed record WireSample(string Message, MessageType Type, byte[] Body, Action<byte[]> Read,
    Func<byte[], int, byte[]> Again)
{
    /// <summary>A whole frame: length, then [type, id, body].</summary>
    public byte[] Frame(ulong id)
    {
        var frame = FrameBuffer.Begin(Type, id, out var writer);
        writer.WriteRaw(Body);
        frame.End(ref writer);
        return frame.Bytes.ToArray();
    }
}

/// <summary>A legal sample of every message there is, with no effect on a node that serves others.</summary>
internal static class WireCorpus
{
    private static readonly MeshKey Key = new("fuzz/1");
    private static readonly ViewId View = new(0, 1L << 40, ulong.MaxValue) { Mesh = ulong.MaxValue - 1 };
    private static readonly ViewId None = new() { Mesh = 1 };

    private static readonly ObjectRecord Record = new()
    {
        Version = new RecordVersion(1, 7, 300),
        ObjectId = ulong.MaxValue,
        Size = 1 << 20,
        Checksum = 7,
        Replicas = [new Replica(ulong.MaxValue, 3, 1L << 45, 9), new Replica(1, 0, 0, 2)],
    };

    // Never may a sample evict: the objects of others are to stay.
    private static readonly PutHead Head = new(new MeshKey("fuzz/put"), 8, 3, 1, false, 900);

    private static readonly PairEnd End = new(17, 0xffffff, 3, new byte[16], 4096, 16);

    /// <summary>The samples of requests.</summary>
    public static IReadOnlyList<WireSample> Requests { get; } =
    [
        Of<PingRequest, PingAnswer>(new PingRequest(View)),
        Of<ViewPullRequest, ViewPage>(new ViewPullRequest(0)),
        Of<StatusRequest, StatusAnswer>(default),
        Of<DropRequest, Done>(new DropRequest([new RetractItem(Key, 1), new RetractItem(new MeshKey("x"), 2)])),
        Of<ReadRequest, ReadAnswer>(new ReadRequest(0, 1L << 45, 3, 4, 5)),
        Of<HolderListRequest, HolderPage>(new HolderListRequest(new SlotSet([5, 9]), 16, 6, [7])),
        Of<AbandonRequest, Done>(new AbandonRequest(0)),
        Of<PublishRequest, OwnerAnswers>(new PublishRequest(Key, Record with { Replicas = [Record.Replicas[0]] }, 1,
            true, Accepted: new RecordVersion(1, 2, 3))),
        Of<MirrorRequest, OwnerAnswers>(new MirrorRequest([new KeyedRecord(Key, Record)])),
        Of<LocateRequest, LocateAnswer>(new LocateRequest([Key, new MeshKey("b")], true, false, 64 * 1024)),
        Of<RetractRequest, OwnerAnswers>(new RetractRequest(0, [new RetractItem(Key, 6, 7)], true)),
        Of<SlotPullRequest, SlotPage>(new SlotPullRequest(None, 5, new SlotSet([1, 2, 3]), 1ul << 60)),
        Of<ClaimRequest, ClaimAnswer>(new ClaimRequest(6, new SlotSet([0, 255]), [new SlotSummary(9, 2, 1ul << 63)])),
        Of<SettleRequest, OwnerAnswers>(new SettleRequest(6, 9, new OpenWords(77, [76]), [])),
        Of<OweRequest, Done>(new OweRequest("node-1", 77)),
        Of<SlotStateRequest, SlotStateAnswer>(new SlotStateRequest(View, new SlotSet([0xff]))),
        Of<PutRequest, PutAnswer>(new PutRequest(Head, 9, new byte[] { 1, 2, 3 })),
        Of<ReserveRequest, ReserveAnswer>(new ReserveRequest(Head)),
        Of<SealRequest, PutAnswer>(new SealRequest(0, ulong.MaxValue)),
        Of<RemoveRequest, OwnerAnswers>(new RemoveRequest(Key, 500, new RecordVersion(1, 10, 6))),
        Of<PinRequest, Done>(new PinRequest(Key, 3, ObjectPin.Soft)),
        Of<DropGroupRequest, Done>(new DropGroupRequest("fuzz")),
        Of<ClearRequest, ClearAnswer>(new ClearRequest(1)),
        Of<MatchRequest, MatchPage>(new MatchRequest("^fuzz/", 4)),
        Of<ViewExtentRequest, ViewAnswer>(new ViewExtentRequest(1, 2, 3, 4, 5, [6, 7])),
        Of<ViewKeyRequest, ViewKeyAnswer>(new ViewKeyRequest(1, 2, Key, [3])),
        Of<SumsRequest, SumsAnswer>(new SumsRequest(1, 1L << 45, 3)),
        Of<RemoveAllRequest, RemoveAllAnswer>(new RemoveAllRequest("fuzz", 500)),
        Of<VerbsOpenRequest, VerbsOpenAnswer>(new VerbsOpenRequest(ulong.MaxValue)),
        Of<VerbsPairRequest, VerbsPairAnswer>(new VerbsPairRequest(1, 0, 63, End)),
        Of<VerbsPullRequest, VerbsPullAnswer>(new VerbsPullRequest(1, 2, new RemoteRegion(4096, 10, 4), 5,
            2, [7, 8, 9], 500)),
        Of<VerbsKeysRequest, VerbsKeysAnswer>(new VerbsKeysRequest(1ul << 63, 1)),
        Of<VerbsKeysRequest, VerbsKeysAnswer>(new VerbsKeysRequest(1ul << 63, 1, PushesToDevices: true)),
    ];

    /// <summary>The samples of everything else: answers, refusals, and what opens a connection.</summary>
    public static IReadOnlyList<WireSample> Others { get; } =
    [
        Of(MessageType.Hello, new Hello
        {
            Cluster = "t",
            Lane = Lane.Owner,
            NodeId = "stranger",
            Incarnation = ulong.MaxValue,
            Session = long.MinValue,
            View = View,
            WantedNode = "",
            BootId = "b",
            Authentication = [1, 2],
        }),
        Of(MessageType.Proof, new Proof([new byte[ClusterSecret.ProofBytes]])),
        Of(MessageType.Failure, new Failure(MeshErrorCode.Busy, "stage", "message", 5)),
        Of(MessageType.Answer, new PingAnswer(View, 1L << 50, true, View, View, true)),
        Of(MessageType.Answer, new ViewPage(View, [1], 2, [[2], [], [3, 4]],
            new RingPast(9, 3, [new RingChange(5, "n1", 100)]))),
        Of(MessageType.Answer, new StatusAnswer([1, 2])),
        Of(MessageType.Answer, new Done(3)),
        Of(MessageType.Answer, new ReadAnswer(true, new byte[] { 9, 8 })),
        Of(MessageType.Answer, new HolderPage([new KeyedRecord(Key, Record)], 8, None)),
        Of(MessageType.Answer, new OwnerAnswers(View, [new OwnerAnswer(OwnerCode.Kept, Record), default])),
        Of(MessageType.Answer, new SlotPage(true, 9, new SlotSet([4]), [new SlotSummary(1, 2, 3)],
            [new KeyedRecord(Key, Record)], 1ul << 60, 3)),
        Of(MessageType.Answer, new ClaimAnswer(new SlotSet([0, 129]))),
        Of(MessageType.Answer, new SlotStateAnswer(View, new SlotSet([]), 1234)),
        Of(MessageType.Answer, Located()),
        Of(MessageType.Answer, new PutAnswer(PutFate.Stored, false, Record.Version, 1)),
        Of(MessageType.Answer, new ClearAnswer(5)),
        Of(MessageType.Answer, new MatchPage([Key, new MeshKey("y")], 6)),
        Of(MessageType.Answer, new ViewAnswer(true)),
        Of(MessageType.Answer, new ViewKeyAnswer(Located(), 0)),
        Of(MessageType.Answer, new SumsAnswer(true, [1, ulong.MaxValue], [new ExtentOnWire(1, 1L << 45, 1 << 16, 3)])),
        Of(MessageType.Answer, new RemoveAllAnswer(4, 3, 2)),
        Of(MessageType.Answer, new ReserveAnswer(ulong.MaxValue)),
        Of(MessageType.Answer, new ClearAnswer(1)),
        Of(MessageType.Answer, new MatchPage([Key], 9)),
        Of(MessageType.Answer, new RemoveAllAnswer(1, 2, 3)),
        Of(MessageType.Answer, new VerbsOpenAnswer(["card0"], [new RemoteRegion(1ul << 63, 1L << 40, 1L << 31)])),
        Of(MessageType.Answer, new VerbsPairAnswer(End, [uint.MaxValue])),
        Of(MessageType.Answer, new VerbsPullAnswer(PullCode.Unreachable, [(0, 1), (2, 3)])),
        Of(MessageType.Answer, new VerbsKeysAnswer(KeysCode.Reached, new RemoteRegion(4096, 10, 4), [1, 2, 3])),
        Of(MessageType.Answer, new VerbsKeysAnswer(KeysCode.Reached, new RemoteRegion(4096, 10, 4), [], "cuda:1")),
    ];

    /// <summary>Whether an exception is the one way in which bytes are refused.</summary>
    public static bool IsRefusal(Exception error) => error is WireException or MessagePackSerializationException
        or EndOfStreamException or OverflowException;

    /// <summary>
    /// Records as they were before they said how often everything had been removed: of a greater number than a node
    /// knows it learns that this has happened again.
    /// </summary>
    private static LocateAnswer Located()
    {
        var answer = new LocateAnswer(View, 3);
        answer.Set(0, OwnerCode.Absent);
        answer.Set(1, OwnerCode.Yes, Record);
        answer.Set(2, OwnerCode.Yes, Record with { Size = 2 }, new byte[] { 1, 2 });
        return answer;
    }

    private static WireSample Of<TRequest, TAnswer>(TRequest message)
        where TRequest : IWireRequest<TRequest, TAnswer>
        where TAnswer : IWireMessage<TAnswer> => Of(TRequest.Type, message);

    private static byte[] BytesOf<T>(T message, int version = Wire.VersionMax)
        where T : IWireMessage<T>
    {
        var buffer = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(buffer);
        if (message is IVersionedMessage versioned)
            versioned.Write(ref writer, version);
        else
            message.Write(ref writer);
        writer.Flush();
        return buffer.WrittenSpan.ToArray();
    }

    private static WireSample Of<T>(MessageType type, T message)
        where T : IWireMessage<T>
    {
        return new WireSample(typeof(T).Name, type, BytesOf(message), bytes => _ = Read(bytes),
            (bytes, version) => BytesOf(Read(bytes), version));

        static T Read(byte[] bytes)
        {
            var reader = new MessagePackReader(bytes);
            return T.Read(ref reader);
        }
    }
}

/// <summary>Bytes made wrong in the ways that have broken decoders before; repeats from its seed.</summary>
internal sealed class Mutator(int seed)
{
    /// <summary>Headers that announce more than there is, and numbers at the ends of their range.</summary>
    private static readonly byte[][] Poison =
    [
        [0xdd, 0xff, 0xff, 0xff, 0xff], [0xdd, 0, 0, 4, 0], [0xdc, 0xff, 0xff], [0xdf, 0xff, 0xff, 0xff, 0xff],
        [0xc6, 0xff, 0xff, 0xff, 0xff], [0xc6, 0x7f, 0xff, 0xff, 0xff], [0xc5, 0xff, 0xff], [0xdb, 0xff, 0xff, 0xff,
            0xff], [0xc9, 0xff, 0xff, 0xff, 0xff, 1], [0xc0], [0xc1], [0xc2], [0xc3], [0x90], [0x80],
        [0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], [0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0],
        [0xd3, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], [0xd2, 0x80, 0, 0, 0], [0xd2, 0x7f, 0xff, 0xff, 0xff],
        [0xce, 0xff, 0xff, 0xff, 0xff], [0xff], [0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0],
        [0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91],
    ];

    private readonly Random _random = new(seed);

    public Random Random => _random;

    /// <summary>A changed copy of <paramref name="source"/>: one to four changes.</summary>
    public byte[] Next(ReadOnlySpan<byte> source)
    {
        var bytes = new List<byte>(source.Length + 32);
        bytes.AddRange(source);
        for (int changes = _random.Next(1, 5); changes > 0; changes--)
            Change(bytes);
        return [.. bytes];
    }

    /// <summary>Bytes without any order.</summary>
    public byte[] Noise(int most)
    {
        byte[] bytes = new byte[_random.Next(1, most + 1)];
        _random.NextBytes(bytes);
        return bytes;
    }

    private void Change(List<byte> bytes)
    {
        int at = _random.Next(bytes.Count + 1);
        int rest = bytes.Count - at;
        switch (_random.Next(8))
        {
            case 0 when rest > 0:
                bytes[at] ^= (byte)(1 << _random.Next(8));
                break;
            case 1 when rest > 0:
                bytes[at] = (byte)_random.Next(256);
                break;
            case 2 when rest > 0:
                bytes.RemoveRange(at, _random.Next(1, Math.Min(rest, 8) + 1));
                break;
            case 3:
                bytes.InsertRange(at, Poison[_random.Next(Poison.Length)]);
                break;
            case 4 when rest > 0:
                bytes.RemoveAt(at);
                bytes.InsertRange(at, Poison[_random.Next(Poison.Length)]);
                break;
            case 5:
                bytes.InsertRange(at, Noise(16));
                break;
            case 6 when rest > 0:
                bytes.InsertRange(at, bytes.GetRange(at, _random.Next(1, Math.Min(rest, 32) + 1)));
                break;
            default:
                bytes.RemoveRange(at, rest);
                break;
        }
    }
}
