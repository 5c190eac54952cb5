// SPDX-License-Identifier: Apache-2.0

using MessagePack;

namespace Mooncake.Mesh.Control;

/// <summary>
/// One end of a queue pair, for the other end to connect to. <c>Lid</c> matters on InfiniBand, <c>Gid</c> (16 bytes)
/// elsewhere; <c>Mtu</c> in bytes; <c>Reads</c>: how many reads the end serves at a time.
/// </summary>
internal readonly record struct PairEnd(uint Number, uint Sequence, int Lid, byte[] Gid, int Mtu, int Reads)
{
    private const int GidBytes = 16;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(6);
        writer.Write(Number);
        writer.Write(Sequence);
        writer.Write(Lid);
        writer.Write(Gid.AsSpan());
        writer.Write(Mtu);
        writer.Write(Reads);
    }

    public static PairEnd Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 6);
        var end = new PairEnd(reader.ReadUInt32(), reader.ReadUInt32(), reader.ReadInt32(),
            Wire.ReadBytes(ref reader, GidBytes), reader.ReadInt32(), reader.ReadInt32());
        if (end.Gid.Length != GidBytes)
            throw new WireException($"a GID of {end.Gid.Length} bytes; it has {GidBytes}");
        Wire.Leave(ref reader, count, 6);
        return end;
    }
}

/// <summary>
/// Memory that cards read by themselves: where it lies in its process, and its parts, each under a key of its own:
/// all of <c>PartBytes</c>, but for the last.
/// </summary>
internal readonly record struct RemoteRegion(ulong Address, long Length, long PartBytes)
{
    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(3);
        writer.Write(Address);
        writer.Write(Length);
        writer.Write(PartBytes);
    }

    public static RemoteRegion Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 3);
        var region = new RemoteRegion(reader.ReadUInt64(), reader.ReadInt64(), reader.ReadInt64());
        if (region.Length <= 0 || region.PartBytes <= 0 || region.Address > ulong.MaxValue - (ulong)region.Length
            || region.Parts > VerbsLimits.MaxKeys)
        {
            throw new WireException($"a region of {region.Length} bytes at {region.Address:x}, in parts of "
                + $"{region.PartBytes}");
        }

        Wire.Leave(ref reader, count, 3);
        return region;
    }

    /// <summary>Number of its parts.</summary>
    public long Parts => PartBytes <= 0 ? 0 : ((Length - 1) / PartBytes) + 1;
}

/// <summary>Bounds of the messages about queue pairs.</summary>
internal static class VerbsLimits
{
    /// <summary>Most cards of one process.</summary>
    public const int MaxCards = 64;

    /// <summary>Most regions of one process: two a segment.</summary>
    public const int MaxRegions = 2048;

    /// <summary>Most parts, and keys, of all regions of one process.</summary>
    public const int MaxKeys = 65_536;

    public static void WriteKeys(ref MessagePackWriter writer, uint[] keys)
    {
        writer.WriteArrayHeader(keys.Length);
        foreach (uint key in keys)
            writer.Write(key);
    }

    public static uint[] ReadKeys(ref MessagePackReader reader)
    {
        uint[] keys = new uint[Wire.ReadCount(ref reader, MaxKeys)];
        for (int i = 0; i < keys.Length; i++)
            keys[i] = reader.ReadUInt32();
        return keys;
    }
}

/// <summary>Rank 0: what a process has that cards can reach.</summary>
/// <param name="Engine">Which process asks; a new one in each life.</param>
internal readonly record struct VerbsOpenRequest(ulong Engine) : IWireRequest<VerbsOpenRequest, VerbsOpenAnswer>
{
    public static MessageType Type => MessageType.VerbsOpen;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(1);
        writer.Write(Engine);
    }

    public static VerbsOpenRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 1);
        var request = new VerbsOpenRequest(reader.ReadUInt64());
        Wire.Leave(ref reader, count, 1);
        return request;
    }
}

/// <summary>The cards by name, and for each segment its bytes and its generation table, one after the other.</summary>
internal readonly record struct VerbsOpenAnswer(string[] Cards, RemoteRegion[] Regions)
    : IWireMessage<VerbsOpenAnswer>
{
    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(2);
        writer.WriteArrayHeader(Cards.Length);
        foreach (string card in Cards)
            Wire.WriteText(ref writer, card);
        writer.WriteArrayHeader(Regions.Length);
        foreach (var region in Regions)
            region.Write(ref writer);
    }

    public static VerbsOpenAnswer Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 2);
        string[] cards = new string[Wire.ReadCount(ref reader, VerbsLimits.MaxCards)];
        for (int i = 0; i < cards.Length; i++)
            cards[i] = Wire.ReadText(ref reader);
        var regions = new RemoteRegion[Wire.ReadCount(ref reader, VerbsLimits.MaxRegions)];
        for (int i = 0; i < regions.Length; i++)
            regions[i] = RemoteRegion.Read(ref reader);
        Wire.Leave(ref reader, count, 2);
        return new VerbsOpenAnswer(cards, regions);
    }
}

/// <summary>
/// Rank 0: connects a queue pair between one card of each side, in the place of an earlier one between these two.
/// </summary>
internal readonly record struct VerbsPairRequest(ulong Engine, int FromCard, int ToCard, PairEnd End)
    : IWireRequest<VerbsPairRequest, VerbsPairAnswer>
{
    public static MessageType Type => MessageType.VerbsPair;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(4);
        writer.Write(Engine);
        writer.Write(FromCard);
        writer.Write(ToCard);
        End.Write(ref writer);
    }

    public static VerbsPairRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 4);
        var request = new VerbsPairRequest(reader.ReadUInt64(), reader.ReadInt32(), reader.ReadInt32(),
            PairEnd.Read(ref reader));
        if (request.FromCard is < 0 or >= VerbsLimits.MaxCards)
            throw new WireException($"card {request.FromCard}; there are at most {VerbsLimits.MaxCards}");
        Wire.Leave(ref reader, count, 4);
        return request;
    }
}

/// <summary>The other end, and the keys of its card for the parts of all regions, in their order.</summary>
internal readonly record struct VerbsPairAnswer(PairEnd End, uint[] Keys) : IWireMessage<VerbsPairAnswer>
{
    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(2);
        End.Write(ref writer);
        VerbsLimits.WriteKeys(ref writer, Keys);
    }

    public static VerbsPairAnswer Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 2);
        var answer = new VerbsPairAnswer(PairEnd.Read(ref reader), VerbsLimits.ReadKeys(ref reader));
        Wire.Leave(ref reader, count, 2);
        return answer;
    }
}

/// <summary>
/// Rank 0: has a holder read the bytes of a reservation from the caller's memory (rule A5), over the queue pairs that
/// the caller has connected. Answered once nothing reads it any more.
/// </summary>
/// <param name="Engine">Whose memory it is: as of the queue pairs, one more each time all of them were broken.</param>
/// <param name="Reservation">Where the bytes go.</param>
/// <param name="Source">The memory they lie in.</param>
/// <param name="Offset">Where in it they begin, in bytes.</param>
/// <param name="Length">How many there are.</param>
/// <param name="Keys">For each card of the caller in turn the keys of the parts.</param>
/// <param name="Milliseconds">How long it may take.</param>
internal readonly record struct VerbsPullRequest(ulong Engine, ulong Reservation, RemoteRegion Source, long Offset,
    long Length, uint[] Keys, int Milliseconds) : IWireRequest<VerbsPullRequest, VerbsPullAnswer>
{
    public static MessageType Type => MessageType.VerbsPull;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(7);
        writer.Write(Engine);
        writer.Write(Reservation);
        Source.Write(ref writer);
        writer.Write(Offset);
        writer.Write(Length);
        VerbsLimits.WriteKeys(ref writer, Keys);
        writer.Write(Milliseconds);
    }

    public static VerbsPullRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 7);
        var request = new VerbsPullRequest(reader.ReadUInt64(), reader.ReadUInt64(), RemoteRegion.Read(ref reader),
            reader.ReadInt64(), reader.ReadInt64(), VerbsLimits.ReadKeys(ref reader), reader.ReadInt32());
        if (request.Keys.Length % request.Source.Parts != 0)
            throw new WireException($"{request.Keys.Length} keys of {request.Source.Parts} parts");
        if (request.Offset < 0 || request.Length < 0 || request.Offset > request.Source.Length - request.Length)
        {
            throw new WireException($"{request.Length} bytes from {request.Offset} in a region of "
                + $"{request.Source.Length}");
        }

        Wire.Leave(ref reader, count, 7);
        return request;
    }
}

/// <summary>How a pull ended.</summary>
internal enum PullCode
{
    /// <summary>All bytes are in the reservation.</summary>
    Done = 0,

    /// <summary>There is no such reservation, or it is written to.</summary>
    NoReservation = 1,

    /// <summary>No queue pair carried it to its end.</summary>
    Unreachable = 2,

    /// <summary>Its time is over.</summary>
    Late = 3,
}

/// <summary>
/// How a pull ended, and the pairs (the caller's card, ours) that are broken at our end: to be connected again.
/// </summary>
internal readonly record struct VerbsPullAnswer(PullCode Code, (int From, int To)[] Broken)
    : IWireMessage<VerbsPullAnswer>
{
    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(2);
        writer.Write((int)Code);
        writer.WriteArrayHeader(Broken.Length * 2);
        foreach (var (from, to) in Broken)
        {
            writer.Write(from);
            writer.Write(to);
        }
    }

    public static VerbsPullAnswer Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 2);
        var code = (PullCode)reader.ReadInt32();
        var broken = new (int, int)[Wire.ReadCount(ref reader, 2 * VerbsLimits.MaxCards * VerbsLimits.MaxCards) / 2];
        for (int i = 0; i < broken.Length; i++)
            broken[i] = (reader.ReadInt32(), reader.ReadInt32());
        Wire.Leave(ref reader, count, 2);
        return new VerbsPullAnswer(code, broken);
    }
}
