// SPDX-License-Identifier: Apache-2.0

using System.Buffers;
using MessagePack;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Control;

/// <summary>
/// Limits and primitives of the control channel. A frame is a 32-bit little-endian length and one MessagePack array
/// [type, id, body]; a body is an array whose fields are only ever appended, so a reader skips what it does not know.
/// </summary>
internal static class Wire
{
    /// <summary>First field of every Hello: "MCM1".</summary>
    public const uint Magic = 0x314D434D;

    /// <summary>Lowest wire version spoken.</summary>
    public const int VersionMin = 1;

    /// <summary>Highest wire version spoken.</summary>
    public const int VersionMax = 2;

    /// <summary>Largest frame body, in bytes.</summary>
    public const int MaxFrame = 1 << 20;

    /// <summary>Largest frame body before both sides have shaken hands, in bytes.</summary>
    public const int MaxOpeningFrame = 32 * 1024;

    /// <summary>Keys in one batch.</summary>
    public const int MaxBatch = 1024;

    /// <summary>Bytes of keys or records after which a batch is split.</summary>
    public const int BatchBytes = 512 * 1024;

    /// <summary>Largest value that travels inside a control frame, in bytes.</summary>
    public const int MaxInline = 256 * 1024;

    /// <summary>Largest put that travels inside its request, in bytes.</summary>
    public const int MaxInlinePut = 64 * 1024;

    /// <summary>Calls one side may have open on one connection; a peer that opens more is cut off.</summary>
    public const int MaxOpenCalls = 1024;

    /// <summary>Longest text field, in bytes.</summary>
    public const int MaxText = 4096;

    /// <summary>Most replicas of one record.</summary>
    public const int MaxReplicas = 64;

    private const int MaxDepth = 16;

    /// <summary>MessagePackReader takes a 32-bit length over 2 GiB for a negative number and trips over it.</summary>
    private const string TooLong = "a byte string of over 2 GiB";

    /// <summary>Enters an array of at least <paramref name="atLeast"/> fields; its length.</summary>
    public static int Enter(ref MessagePackReader reader, int atLeast)
    {
        int count = reader.ReadArrayHeader();
        if (count < atLeast)
            throw new WireException($"{count} fields where at least {atLeast} are expected");
        if (++reader.Depth > MaxDepth)
            throw new WireException($"nested deeper than {MaxDepth}");
        return count;
    }

    /// <summary>
    /// Leaves an array of <paramref name="count"/> fields of which <paramref name="read"/> were read.
    /// </summary>
    public static void Leave(ref MessagePackReader reader, int count, int read)
    {
        try
        {
            for (int i = read; i < count; i++)
                reader.Skip();
        }
        catch (ArgumentOutOfRangeException)
        {
            throw new WireException(TooLong);
        }

        reader.Depth--;
    }

    /// <summary>Length of a list of at most <paramref name="most"/> items.</summary>
    public static int ReadCount(ref MessagePackReader reader, int most)
    {
        int count = reader.ReadArrayHeader();
        return count <= most ? count : throw new WireException($"a list of {count} where at most {most} are legal");
    }

    /// <summary>A copy of a byte string of at most <paramref name="most"/> bytes.</summary>
    public static byte[] ReadBytes(ref MessagePackReader reader, int most)
    {
        var bytes = ReadView(ref reader, most);
        return bytes.ToArray();
    }

    /// <summary>A byte string of at most <paramref name="most"/> bytes, in place.</summary>
    public static ReadOnlySpan<byte> ReadView(ref MessagePackReader reader, int most)
    {
        var bytes = ReadSequence(ref reader, most);
        return bytes.FirstSpan.Length == bytes.Length ? bytes.FirstSpan : bytes.ToArray();
    }

    /// <summary>The same; valid as long as the frame.</summary>
    public static ReadOnlyMemory<byte> ReadMemory(ref MessagePackReader reader, int most)
    {
        var bytes = ReadSequence(ref reader, most);
        return bytes.First.Length == bytes.Length ? bytes.First : bytes.ToArray();
    }

    private static ReadOnlySequence<byte> ReadSequence(ref MessagePackReader reader, int most)
    {
        ReadOnlySequence<byte> bytes;
        try
        {
            bytes = reader.ReadBytes() ?? throw new WireException("null where bytes are expected");
        }
        catch (ArgumentOutOfRangeException)
        {
            throw new WireException(TooLong);
        }

        if (bytes.Length > most)
            throw new WireException($"{bytes.Length} bytes where at most {most} are legal");
        return bytes;
    }

    /// <summary>A key.</summary>
    public static MeshKey ReadKey(ref MessagePackReader reader) => new(ReadBytes(ref reader, MeshKey.MaxLength));

    /// <summary>A text.</summary>
    public static string ReadText(ref MessagePackReader reader) =>
        System.Text.Encoding.UTF8.GetString(ReadView(ref reader, MaxText));

    /// <summary>Writes a text as bytes.</summary>
    public static void WriteText(ref MessagePackWriter writer, string text) =>
        writer.Write(System.Text.Encoding.UTF8.GetBytes(text).AsSpan());

    /// <summary>Writes a version as three numbers.</summary>
    public static void Write(ref MessagePackWriter writer, RecordVersion version)
    {
        writer.Write(version.Epoch);
        writer.Write(version.Revision);
        writer.Write(version.Counter);
    }

    /// <summary>Reads a version.</summary>
    public static RecordVersion ReadVersion(ref MessagePackReader reader) =>
        new(reader.ReadInt64(), reader.ReadInt64(), reader.ReadInt64());

    /// <summary>Writes a view's name as three numbers.</summary>
    public static void Write(ref MessagePackWriter writer, ViewId view)
    {
        writer.Write(view.Epoch);
        writer.Write(view.Revision);
        writer.Write(view.Digest);
    }

    /// <summary>Reads a view's name.</summary>
    public static ViewId ReadView(ref MessagePackReader reader) =>
        new(reader.ReadInt64(), reader.ReadInt64(), reader.ReadUInt64());
}

/// <summary>Bytes that are no message of ours.</summary>
internal sealed class WireException(string message) : Exception(message);

/// <summary>Something that travels in a frame.</summary>
internal interface IWireMessage<TSelf>
    where TSelf : IWireMessage<TSelf>
{
    void Write(ref MessagePackWriter writer);

    static abstract TSelf Read(ref MessagePackReader reader);
}

/// <summary>
/// A message that has got fields since version 1. A reader of an older version would skip them, and one of a newer does
/// without; but what a version has is what it is sent, so that a mesh of two versions is what each was tested for.
/// </summary>
internal interface IVersionedMessage
{
    void Write(ref MessagePackWriter writer, int version);
}

/// <summary>A request of one type, answered by one type.</summary>
internal interface IWireRequest<TSelf, TAnswer> : IWireMessage<TSelf>
    where TSelf : IWireRequest<TSelf, TAnswer>
    where TAnswer : IWireMessage<TAnswer>
{
    static abstract MessageType Type { get; }
}

/// <summary>What a frame holds. On the wire: values are fixed, new ones are appended.</summary>
internal enum MessageType
{
    Hello = 1,
    Answer = 2,
    Failure = 3,
    Proof = 4,

    Ping = 10,
    ViewPull = 11,
    Status = 12,

    // Rank 0: holder calls.
    Drop = 20,
    Read = 21,
    HolderList = 22,
    Abandon = 23,
    Pin = 24,
    DropGroup = 25,
    Clear = 26,
    Match = 27,
    ViewExtent = 28,
    Sums = 29,

    // Rank 1: owner calls.
    Publish = 30,
    Mirror = 31,
    Locate = 32,
    Retract = 33,
    SlotPull = 34,
    Owe = 35,
    SlotState = 36,
    Claim = 37,
    Settle = 38,
    ViewKey = 39,

    // Rank 2: client calls.
    Put = 40,
    Reserve = 41,
    Seal = 42,
    Remove = 43,
    RemoveAll = 44,

    // Rank 0, on the verbs lane.
    VerbsOpen = 50,
    VerbsPair = 51,
    VerbsPull = 52,
    VerbsKeys = 53,
}
