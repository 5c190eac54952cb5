// SPDX-License-Identifier: Apache-2.0

using System.Globalization;
using System.Text.Json;

namespace Mooncake.Mesh.Node.Replay;

/// <summary>What a replay did and saw.</summary>
internal sealed record ReplayReport
{
    /// <summary>Requests replayed.</summary>
    internal long Requests { get; init; }

    /// <summary>Blocks these named.</summary>
    internal long Blocks { get; init; }

    /// <summary>Blocks found present when looked at, before or after a gap.</summary>
    internal long BlockHits { get; init; }

    /// <summary>Blocks found present without a gap from the start of their request.</summary>
    internal long PrefixHits { get; init; }

    /// <summary>Bytes stored.</summary>
    internal long BytesPut { get; init; }

    /// <summary>Bytes fetched.</summary>
    internal long BytesGot { get; init; }

    /// <summary>Fetched bytes that were not the block's.</summary>
    internal long WrongBytes { get; init; }

    /// <summary>Objects the mesh evicted meanwhile; -1 when its nodes did not say.</summary>
    internal long Evictions { get; init; }

    /// <summary>Gets and matches that failed otherwise than by not finding.</summary>
    internal long GetErrors { get; init; }

    /// <summary>Puts that failed.</summary>
    internal long PutErrors { get; init; }

    /// <summary>Answers "deadline exceeded" to a get or match.</summary>
    internal long GetTimeouts { get; init; }

    /// <summary>Calls that returned after their deadline, by more than the scheduling allowance.</summary>
    internal long LateCalls { get; init; }

    /// <summary>Longest time between two answers while a request waited.</summary>
    internal double LongestGapMs { get; init; }

    /// <summary>The same, from the kill on; -1 when nothing was killed.</summary>
    internal double LongestGapAfterKillMs { get; init; } = -1;

    /// <summary>Median of the get calls, in microseconds; a call carries up to a batch of blocks.</summary>
    internal long GetP50Us { get; init; }

    /// <summary>99th percentile of the get calls, in microseconds.</summary>
    internal long GetP99Us { get; init; }

    /// <summary>Median of the put calls, in microseconds.</summary>
    internal long PutP50Us { get; init; }

    /// <summary>99th percentile of the put calls, in microseconds.</summary>
    internal long PutP99Us { get; init; }

    /// <summary>Seconds it took.</summary>
    internal double Seconds { get; init; }

    /// <summary>Block hits over blocks.</summary>
    internal double HitRatio => Blocks == 0 ? 0 : (double)BlockHits / Blocks;

    /// <summary>Whether every read was right and in time.</summary>
    internal bool Clean => WrongBytes == 0 && LateCalls == 0 && GetTimeouts == 0;

    internal void WriteJson(Utf8JsonWriter json)
    {
        json.WriteNumber("requests", Requests);
        json.WriteNumber("blocks", Blocks);
        json.WriteNumber("blockHits", BlockHits);
        json.WriteNumber("prefixHits", PrefixHits);
        json.WriteNumber("hitRatio", Math.Round(HitRatio, 6));
        json.WriteNumber("bytesPut", BytesPut);
        json.WriteNumber("bytesGot", BytesGot);
        json.WriteNumber("wrongBytes", WrongBytes);
        json.WriteNumber("evictions", Evictions);
        json.WriteNumber("getErrors", GetErrors);
        json.WriteNumber("putErrors", PutErrors);
        json.WriteNumber("getTimeouts", GetTimeouts);
        json.WriteNumber("lateCalls", LateCalls);
        json.WriteNumber("longestGapMs", Math.Round(LongestGapMs, 3));
        if (LongestGapAfterKillMs >= 0)
            json.WriteNumber("longestGapAfterKillMs", Math.Round(LongestGapAfterKillMs, 3));
        json.WriteNumber("getP50Us", GetP50Us);
        json.WriteNumber("getP99Us", GetP99Us);
        json.WriteNumber("putP50Us", PutP50Us);
        json.WriteNumber("putP99Us", PutP99Us);
        json.WriteNumber("seconds", Math.Round(Seconds, 3));
    }

    /// <summary>The report as lines for a person.</summary>
    internal IEnumerable<string> Lines()
    {
        yield return Line("requests", $"{Requests}");
        yield return Line("blocks", $"{Blocks}");
        yield return Line("block hits", $"{BlockHits} ({HitRatio:P2})");
        yield return Line("prefix hits", $"{PrefixHits}");
        yield return Line("bytes put", $"{BytesPut}");
        yield return Line("bytes got", $"{BytesGot}");
        yield return Line("wrong bytes", $"{WrongBytes}");
        yield return Line("evictions", Evictions < 0 ? (FormattableString)$"unknown" : $"{Evictions}");
        yield return Line("errors", $"{GetErrors} gets, {PutErrors} puts");
        yield return Line("late calls", $"{LateCalls} ({GetTimeouts} gets timed out)");
        yield return Line("longest gap", $"{LongestGapMs:0.0} ms");
        yield return Line("get call", $"p50 {GetP50Us} us, p99 {GetP99Us} us");
        yield return Line("put call", $"p50 {PutP50Us} us, p99 {PutP99Us} us");
        yield return Line("time", $"{Seconds:0.0} s");
    }

    private static string Line(string name, FormattableString value) =>
        $"{name,-14} {value.ToString(CultureInfo.InvariantCulture)}";
}
