# The Homebrew formula; `make release-files` puts the address and the checksum of a release in the place of @…@.
class MlrunsTools < Formula
  desc "Moves and keeps MLflow tracking data (mlruns directories, SQLite, PostgreSQL)"
  homepage "@HOME@"
  url "@URL@"
  sha256 "@SHA256@"
  license "Apache-2.0"

  depends_on "pkgconf" => :build
  depends_on "jansson"
  depends_on "libmd"
  depends_on "libpq"
  depends_on "libyaml"
  depends_on :linux
  depends_on "msgpack"
  depends_on "sqlite"
  depends_on "xxhash"
  depends_on "zstd"

  def install
    system "make", "PACKAGED=1", "CC=#{ENV.cc}", "PREFIX=#{prefix}", "install"
  end

  test do
    (testpath/"mlruns/0").mkpath
    (testpath/"mlruns/0/meta.yaml").write <<~YAML
      artifact_location: file:///mlruns/0
      creation_time: 1700000000000
      experiment_id: '0'
      last_update_time: 1700000000000
      lifecycle_stage: active
      name: Default
    YAML
    system bin/"ml-migrate", "mlruns", "sqlite:///mlflow.db", "--verify"
    assert_match "Default", shell_output("#{bin}/mldb-dump --list --verbose sqlite:///mlflow.db")
  end
end
